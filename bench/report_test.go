package main

import (
	"strings"
	"testing"
	"time"
)

// Ratios are taken within a round, so load on the machine during a whole round
// cancels out.
func TestRatiosAreTakenWithinARound(t *testing.T) {
	m := &measurement{
		job: job{Scenario: "fanout", Servers: []string{"floor", "ours"}, Rounds: 3},
		Results: map[string][]result{
			"floor": {{cpuPerDelivery: 10}, {cpuPerDelivery: 100}, {cpuPerDelivery: 20}},
			"ours":  {{cpuPerDelivery: 11}, {cpuPerDelivery: 110}, {cpuPerDelivery: 40}},
		},
	}
	if got, ok := m.ratio("ours", cpuPerDelivery); !ok || got != 1.1 {
		t.Errorf("ratio %g, %t; want 1.1", got, ok)
	}
	if got := m.median("ours", cpuPerDelivery); got != 40 {
		t.Errorf("median %g, want 40", got)
	}
	table := m.markdown()
	for _, want := range []string{"| ours | 40.0 (1.10×) |", "-servers floor,ours\n"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

// A ratio of messages lost or of seconds waited means nothing.
func TestCountsAndWaitsHaveNoRatio(t *testing.T) {
	for scenario, want := range map[string][]string{
		"cuts":     {"| deliveries | lost | doubled |", "| ours | 1.20 M | 0 | 0 | 80 k | 9.50 |", "-scenario cuts -over http -size 100 -time 2m0s -rounds 1 -readers 10000 -rate 1 -servers ours,nchan\n"},
		"redeploy": {"| down s | streams cut |", "| nchan | 0.50 | 5000 | 3.00 |", "-readers 10000 -rate 1 -servers ours,nchan\n"},
	} {
		m := &measurement{
			job: job{
				Scenario: scenario, Servers: []string{"ours", "nchan"}, Rounds: 1,
				Params: params{Over: "http", Readers: 10_000, Rate: 1, Size: texts, Time: 2 * time.Minute},
			},
			Results: map[string][]result{
				"ours":  {{wanted: 1.2e6, replays: 80_000, replay99: 9.5, down: 1, ended: 10, back50: 2}},
				"nchan": {{wanted: 1.2e6, replays: 70_000, replay99: 3.1, down: 0.5, ended: 5000, back50: 3, lost: 7}},
			},
		}
		table := m.markdown()
		for _, want := range want {
			if !strings.Contains(table, want) {
				t.Errorf("no %q in\n%s", want, table)
			}
		}
		if strings.Contains(table, "×") {
			t.Errorf("there is a ratio in\n%s", table)
		}
	}
}

// Every job of a suite names servers that it can measure.
func TestSuitesCanBeMeasured(t *testing.T) {
	for _, name := range []string{"short", "full", "growth"} {
		jobs, err := suiteOf(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		for _, j := range jobs {
			s, ok := scenarios[j.Scenario]
			if !ok {
				t.Errorf("%s: no scenario %q", j.Name, j.Scenario)
				continue
			}
			if _, err := j.kinds(s, make(map[string]string)); err != nil {
				t.Errorf("%s: %v", j.Name, err)
			}
			if seen[j.Name] {
				t.Errorf("two jobs of %s are called %s", name, j.Name)
			}
			seen[j.Name] = true
		}
	}
	if _, err := suiteOf("endless", nil); err == nil {
		t.Error("there is no suite of that name")
	}
}

func TestFormat(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.123: "0.12", 7.7: "7.70", 42.42: "42.4", 517: "517", 9999: "9999", 240_000: "240 k", 7_030_000: "7.03 M", 81_000_000: "81 M",
	} {
		if got := format(v); got != want {
			t.Errorf("format(%g) is %q, want %q", v, got, want)
		}
	}
}
