package main

import (
	"fmt"
	"math"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// suiteOf returns the jobs of a suite, optionally with other servers than the
// usual ones.
func suiteOf(name string, given []string) ([]job, error) {
	var jobs []job
	switch name {
	case "short":
		jobs = short()
	case "full":
		jobs = full()
	case "back":
		jobs = back()
	case "growth":
		jobs = growth()
	default:
		return nil, fmt.Errorf("no suite %q", name)
	}
	if given != nil {
		for i := range jobs {
			jobs[i].Servers = given
		}
	}
	return jobs, nil
}

// texts is the default size of messages.
const texts = 100

// short measures a little of everything, in a few minutes.
func short() []job {
	const d = 2 * time.Second
	all := []job{
		even(protocol.HTTP, 1000, 50, d).of(evenly),
		flatOut(protocol.HTTP, 1000, d).of(flat),
		unmoved(protocol.HTTP, 2000, d).of(fewer),
		job{Name: "publish", Scenario: "publish", Title: "64 publishers, 1 reader", Params: params{Over: protocol.HTTP, Publishers: 64, Size: texts, Time: d}}.of(answered),
		{Name: "replay", Scenario: "replay", Title: "1,000 messages replayed to 200 readers", Params: params{Over: protocol.HTTP, Readers: 200, Size: texts, Time: d}},
		even(protocol.H2, 1000, 50, d).of(sealed),
	}
	for i := range all {
		all[i].Rounds = 1
	}
	return all
}

// The servers of a table: all except those that add nothing to it.
var (
	evenly   = []string{"floor", "ours", "ours-unparked", "plain", "plain-caddy", "node", "mercure", "nchan"}
	flat     = []string{"floor", "floor-joined", "ours", "ours-unparked", "plain", "plain-caddy", "node", "mercure", "nchan"}
	fewer    = []string{"floor", "ours", "ours-unparked", "plain-caddy", "node", "mercure", "nchan"}
	visited  = []string{"floor", "plain-caddy", "ours", "ours-unparked", "plain", "node", "mercure", "nchan"}
	answered = []string{"respond", "ours", "ours-unparked", "plain-caddy", "plain", "node", "mercure", "mercure-bolt", "nchan", "floor"}
	sealed   = []string{"floor", "ours", "ours-unparked", "plain-caddy", "mercure", "nchan"}
	resumed  = []string{"ours", "ours-soon", "mercure-bolt", "nchan"}
	deployed = []string{"ours", "ours-bolt", "mercure-bolt", "nchan"}
)

// full measures everything in docs/benchmarks.md, except for [back].
func full() []job {
	const d = 1500 * time.Millisecond
	all := []job{
		even(protocol.HTTP, 100, 500, d).of(fewer),
		even(protocol.HTTP, 1000, 50, d).of(evenly),
		even(protocol.HTTP, 10_000, 5, 2*d).of(fewer),
		flatOut(protocol.HTTP, 1000, d).of(flat),
		flatOut(protocol.HTTP, 10_000, d).of(flat),
		unmoved(protocol.HTTP, 10_000, d).of(fewer),
		job{Name: "publish", Scenario: "publish", Title: "64 publishers, 1 reader", Params: params{Over: protocol.HTTP, Publishers: 64, Size: texts, Time: d}}.of(answered),
		{Name: "batch", Scenario: "batch", Title: "4 publishers with 100 messages in a request, 1 reader", Params: params{Over: protocol.HTTP, Publishers: 4, Batch: 100, Size: texts, Time: d}},
		{Name: "replay", Scenario: "replay", Title: "1,000 messages replayed to 200 readers", Params: params{Over: protocol.HTTP, Readers: 200, Size: texts, Time: d}},
		job{Name: "slow", Scenario: "slow", Title: "1,000 readers of which 10 stall, 20 messages/s of 16 KB", Params: params{Over: protocol.HTTP, Readers: 1000, Rate: 20, Size: 16 << 10, Stalled: 10, Time: 2 * d}}.of(evenly),
		job{Name: "churn", Scenario: "churn", Title: "connect and leave", Params: params{Over: protocol.HTTP, Time: d}}.of(visited),
	}
	all = append(all,
		even(protocol.HTTPS, 1000, 50, d).of(sealed),
		unmoved(protocol.HTTPS, 5000, d).of(sealed),
		even(protocol.H2, 100, 500, d).of(sealed),
		even(protocol.H2, 1000, 50, d).of(sealed),
		even(protocol.H2, 5000, 10, d).of(sealed),
		flatOut(protocol.H2, 1000, d).of(append([]string{"floor", "floor-joined"}, sealed[1:]...)),
		unmoved(protocol.H2, 5000, d).of(sealed),
	)
	for i := range all {
		all[i].Rounds = 3
	}
	return all
}

// back measures clients that come back, after cuts and a redeploy. The figures are long
// waits, which vary little, and each lasts minutes.
func back() []job {
	all := []job{
		cutOff(protocol.HTTP, 10_000).of(resumed),
		cutOff(protocol.H2, 5000).of(resumed), // 10,000 are 670 handshakes a second, too many for two cores
		deployedAgain(protocol.HTTP, 5000).of(deployed),
		deployedAgain(protocol.H2, 5000).of(deployed),
	}
	for i := range all {
		all[i].Rounds = 1
	}
	return all
}

func (j job) of(servers []string) job {
	j.Servers = servers
	return j
}

// growth measures everything in docs/scaling.md.
func growth() []job {
	const d = 2 * time.Second
	var all []job
	grown := []string{"floor", "ours", "ours-unparked", "mercure"}
	for _, n := range []int{10, 100, 1000, 5000, 10_000, 19_000, 50_000} {
		rate := min(500, 20_000/float64(n))
		if rate > 1 {
			rate = math.Round(rate)
		}
		j := even(protocol.HTTP, n, rate, d)
		j.Servers, j.Name = grown, fmt.Sprintf("readers-%d", n)
		if n > 10_000 {
			j.Params.Time = 2 * d
		}
		all = append(all, j)
	}
	for _, n := range []int{10, 100, 1000, 8 << 10, 30 << 10} {
		j := even(protocol.HTTP, 1000, 20, d)
		j.Servers, j.Name, j.Params.Size = grown, fmt.Sprintf("size-%d", n), n
		j.Title = fmt.Sprintf("texts of %d bytes to 1,000 readers", n)
		all = append(all, j)
	}
	for _, n := range []int{1, 10, 100, 1000, 10_000, 100_000} {
		all = append(all, job{
			Name: fmt.Sprintf("rooms-%d", n), Scenario: "rooms", Title: fmt.Sprintf("%d rooms, 1,000 readers", n),
			Servers: []string{"ours", "ours-unparked", "mercure"},
			Params:  params{Over: protocol.HTTP, Readers: 1000, Rooms: n, Rate: min(1000, 20*float64(n)), Size: texts, Time: d},
		})
	}
	for i := range all {
		all[i].Rounds = 1
	}
	return all
}

// overs are the names of transports in titles.
var overs = map[protocol.Name]string{protocol.HTTP: "", protocol.HTTPS: ", TLS and HTTP/1.1", protocol.H2: ", TLS and HTTP/2"}

func even(over protocol.Name, readers int, rate float64, d time.Duration) job {
	return job{
		Name: fmt.Sprintf("fanout-%s-%d", over, readers), Scenario: "fanout",
		Title:  fmt.Sprintf("%d readers, %g messages/s%s", readers, rate, overs[over]),
		Params: params{Over: over, Readers: readers, Rate: rate, Size: texts, Time: d},
	}
}

func flatOut(over protocol.Name, readers int, d time.Duration) job {
	return job{
		Name: fmt.Sprintf("saturate-%s-%d", over, readers), Scenario: "saturate",
		Title:  fmt.Sprintf("%d readers, 16 publishers flat out%s", readers, overs[over]),
		Params: params{Over: over, Readers: readers, Publishers: 16, Size: texts, Time: d},
	}
}

func unmoved(over protocol.Name, readers int, d time.Duration) job {
	return job{
		Name: fmt.Sprintf("idle-%s-%d", over, readers), Scenario: "idle",
		Title:  fmt.Sprintf("%d idle readers%s", readers, overs[over]),
		Params: params{Over: over, Readers: readers, Time: d},
	}
}

func cutOff(over protocol.Name, readers int) job {
	return job{
		Name: fmt.Sprintf("cuts-%s-%d", over, readers), Scenario: "cuts",
		Title:  fmt.Sprintf("%d clients that lose their connections every 15 s for 2 s, 120 messages%s", readers, overs[over]),
		Params: params{Over: over, Readers: readers, Rate: 1, Size: texts, Time: 2 * time.Minute},
	}
}

func deployedAgain(over protocol.Name, readers int) job {
	return job{
		Name: fmt.Sprintf("redeploy-%s-%d", over, readers), Scenario: "redeploy",
		Title:  fmt.Sprintf("%d clients over a reload or a restart, 10 messages/s%s", readers, overs[over]),
		Params: params{Over: over, Readers: readers, Rate: 10, Size: texts, Time: time.Minute},
	}
}
