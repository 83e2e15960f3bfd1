package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report has all results of one run.
type report struct {
	When         time.Time      `json:"when"`
	Machine      string         `json:"machine"`
	Measurements []*measurement `json:"measurements"`
}

func newReport() *report {
	return &report{When: time.Now().UTC().Truncate(time.Second), Machine: machine()}
}

// machine describes the machine that was measured.
func machine() string {
	model, kernel := "unknown CPU", ""
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(content), "model name\t: "); ok {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	if content, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(content))
		kernel, _, _ = strings.Cut(kernel, "-")
	}
	return fmt.Sprintf("%d CPUs (%s), Linux %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}

func readReport(file string) (*report, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(report)
	if err := json.Unmarshal(content, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// write writes the results, their tables and a picture.
func (r *report) write(out string) error {
	content, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(out+".json", append(content, '\n'), 0o644); err != nil {
		return err
	}
	var tables strings.Builder
	fmt.Fprintf(&tables, "# Measured\n\nWritten by `bench` on %s: %s. In brackets is the ratio to the first server, the median over rounds.\n\n", r.When.Format(time.DateOnly), r.Machine)
	for _, m := range r.Measurements {
		tables.WriteString(m.markdown())
	}
	if err := os.WriteFile(out+"-tables.md", []byte(tables.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(out+".svg", r.picture(), 0o644)
}

// markdown returns a table of medians, with the median ratio of each server to
// the first one in the same round.
func (m *measurement) markdown() string {
	var b strings.Builder
	columns := scenarios[m.Scenario].columns
	fmt.Fprintf(&b, "## %s\n\n", m.heading())
	if len(m.Servers) > 0 {
		b.WriteString("| server |")
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c)
		}
		fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---|", len(columns)))
		for _, name := range m.Servers {
			fmt.Fprintf(&b, "| %s |", name)
			for _, c := range columns {
				fmt.Fprintf(&b, " %s |", m.cell(name, c))
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	for _, name := range slices.Sorted(maps.Keys(m.Missing)) {
		fmt.Fprintf(&b, "%s is missing: %s\n\n", name, m.Missing[name])
	}
	for _, name := range m.Servers {
		if m.median(name, clientBusy) >= 0.9 {
			fmt.Fprintf(&b, "With %s the client or the machine was the limit: its thread hardly waited.\n\n", name)
		}
	}
	fmt.Fprintf(&b, "```sh\n%s\n```\n\n", m.command(m.Servers))
	return b.String()
}

func (m *measurement) cell(name string, c column) string {
	text := format(m.median(name, c))
	if ratio, ok := m.ratio(name, c); ok && name != m.Servers[0] && !slices.Contains(ratioless, c) {
		text += fmt.Sprintf(" (%s×)", format(ratio))
	}
	return text
}

func (m *measurement) median(name string, c column) float64 {
	values := make([]float64, 0, m.Rounds)
	for _, r := range m.Results[name] {
		values = append(values, r[c])
	}
	return median(values)
}

// ratio returns the median of a server's ratios to the first one in a round.
func (m *measurement) ratio(name string, c column) (float64, bool) {
	var ratios []float64
	for i, r := range m.Results[name] {
		if first := m.Results[m.Servers[0]][i][c]; first > 0 {
			ratios = append(ratios, r[c]/first)
		}
	}
	return median(ratios), len(ratios) > 0
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

func format(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 10_000_000 || v <= -10_000_000:
		return fmt.Sprintf("%.0f M", v/1e6)
	case v >= 1_000_000:
		return fmt.Sprintf("%.2f M", v/1e6)
	case v >= 10_000:
		return fmt.Sprintf("%.0f k", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
