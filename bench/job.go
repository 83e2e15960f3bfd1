package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/servers"
)

// job is a measurement to make.
type job struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Scenario string   `json:"scenario"`
	Servers  []string `json:"servers"`
	Rounds   int      `json:"rounds"`
	Params   params   `json:"params"`
}

// measurement is the result of a job: one result per server and round.
type measurement struct {
	job
	Results map[string][]result `json:"results"`
	// Missing is why servers were not measured.
	Missing map[string]string `json:"missing,omitempty"`
}

// measure measures all servers of a job in turn, round after round.
func (j job) measure(profiles string) (*measurement, error) {
	scenario, ok := scenarios[j.Scenario]
	if !ok {
		return nil, fmt.Errorf("no scenario %q", j.Scenario)
	}
	m := &measurement{job: j, Results: make(map[string][]result), Missing: make(map[string]string)}
	kinds, err := j.kinds(scenario, m.Missing)
	if err != nil {
		return nil, err
	}
	m.Servers = nil
	for _, kind := range kinds {
		m.Servers = append(m.Servers, kind.Name)
	}
	for round := range j.Rounds {
		for _, kind := range kinds {
			if _, failed := m.Missing[kind.Name]; failed {
				continue
			}
			say("%s, round %d of %d: %s", j.heading(), round+1, j.Rounds, kind.Name)
			r, err := j.once(scenario, kind, profiles)
			if err != nil {
				// a failure of another server is a result; ours and the floor must not fail
				say("%s: %v", kind.Name, err)
				m.Missing[kind.Name] = firstLine(err)
				continue
			}
			m.Results[kind.Name] = append(m.Results[kind.Name], r)
		}
	}
	m.Servers = slices.DeleteFunc(m.Servers, func(name string) bool { return len(m.Results[name]) < j.Rounds })
	return m, nil
}

// say reports progress.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// kinds returns the servers to measure that are available.
func (j job) kinds(s scenario, missing map[string]string) ([]*servers.Server, error) {
	var kinds []*servers.Server
	if j.Servers == nil {
		for _, kind := range servers.All {
			if fits(s, kind, j.Params.Over) {
				kinds = append(kinds, kind)
			}
		}
	}
	for _, name := range j.Servers {
		kind := servers.Find(name)
		if kind == nil {
			return nil, fmt.Errorf("no server %q", name)
		}
		if !fits(s, kind, j.Params.Over) {
			return nil, fmt.Errorf("%s has nothing to measure in %s over %s", name, j.Scenario, j.Params.Over)
		}
		kinds = append(kinds, kind)
	}
	return slices.DeleteFunc(kinds, func(kind *servers.Server) bool {
		why := kind.Missing()
		if why != "" {
			say("%s is left out: %s", kind.Name, why)
			missing[kind.Name] = why
		}
		return why != ""
	}), nil
}

func fits(s scenario, kind *servers.Server, over protocol.Name) bool {
	return s.fits(kind) && (over.IsSecure() && kind.TLS || !over.IsSecure() && kind.Clear)
}

// once starts a server and measures it.
func (j job) once(s scenario, kind *servers.Server, profiles string) (result, error) {
	p, err := start(kind, j.Params.Over.IsSecure())
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if profiles != "" {
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			file := filepath.Join(profiles, fmt.Sprintf("%s-%s-%d-%s.pprof", j.Scenario, j.Params.Over, j.Params.Readers, kind.Name))
			if err := p.profile(file, j.Params.Time*2); err != nil {
				say("%s has no profile: %v", kind.Name, err)
			}
		}()
	}
	return s.run(p, j.Params)
}

// heading describes the measurement in one line.
func (j job) heading() string {
	if j.Title != "" {
		return j.Title
	}
	return j.Scenario
}

// command is the command that repeats only this measurement.
func (j job) command(names []string) string {
	p := j.Params
	c := fmt.Sprintf("go run . -scenario %s -over %s -size %d -time %s -rounds %d", j.Scenario, p.Over, p.Size, p.Time, j.Rounds)
	switch j.Scenario {
	case "fanout", "cuts", "redeploy":
		c += fmt.Sprintf(" -readers %d -rate %g", p.Readers, p.Rate)
	case "saturate":
		c += fmt.Sprintf(" -readers %d -publishers %d", p.Readers, p.Publishers)
	case "idle", "replay":
		c += fmt.Sprintf(" -readers %d", p.Readers)
	case "publish":
		c += fmt.Sprintf(" -publishers %d", p.Publishers)
	case "batch":
		c += fmt.Sprintf(" -publishers %d -batch %d", p.Publishers, p.Batch)
	case "slow":
		c += fmt.Sprintf(" -readers %d -rate %g -stalled %d", p.Readers, p.Rate, p.Stalled)
	case "rooms":
		c += fmt.Sprintf(" -readers %d -rate %g -rooms %d", p.Readers, p.Rate, p.Rooms)
	}
	return c + " -servers " + strings.Join(names, ",")
}
