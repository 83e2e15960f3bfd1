package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// figure is something that must not grow.
type figure struct {
	name  string
	of    func(sample) float64
	unit  float64
	slack float64       // allowed on top of a tenth, in units
	grows time.Duration // how long it grows in any case
}

const mega = 1 << 20

// figures are the figures to compare. The heap varies between collections, and
// readers come and go, so each has some slack. The store's file grows until the
// first nonces expire.
var figures = []figure{
	{"resident memory, MB", func(s sample) float64 { return s.resident }, mega, 10, 0},
	{"proportional memory, MB", func(s sample) float64 { return s.proportional }, mega, 10, 0},
	{"heap in use, MB", func(s sample) float64 { return s.heap }, mega, 5, 0},
	{"goroutines", func(s sample) float64 { return s.goroutines }, 1, 30, 0},
	{"descriptors", func(s sample) float64 { return s.files }, 1, 50, 0},
	{"the store's file, MB", func(s sample) float64 { return s.file }, mega, 0, store.NonceLife},
	{"what is live in it, MB", func(s sample) float64 { return s.live }, mega, 0.25, store.NonceLife},
	{"live data for each known nonce, KB", func(s sample) float64 { return s.live / max(s.remembered, 1) }, 1 << 10, 0.1, 0},
}

// verdict compares the medians of the third and the last fifth of a run. The
// start is left out, because nonces are kept for ten minutes.
type verdict struct {
	figure
	middle, last float64
	flat         bool
	early        bool // whether it still grew in the third fifth
}

func (f *finding) verdicts() []verdict {
	all := make([]verdict, 0, len(figures))
	for _, figure := range figures {
		n := len(f.samples)
		v := verdict{figure: figure, middle: figure.median(f.samples[n*2/5 : n*3/5]), last: figure.median(f.samples[n*4/5:])}
		v.early = f.time*2/5 < figure.grows
		v.flat = v.last > 0 && v.last <= v.middle*1.1+figure.slack
		all = append(all, v)
	}
	return all
}

func (f figure) median(of []sample) float64 {
	if len(of) == 0 {
		return 0
	}
	values := make([]float64, 0, len(of))
	for _, s := range of {
		values = append(values, f.of(s)/f.unit)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (v verdict) text() string {
	return fmt.Sprintf("%.1f in the third fifth, %.1f in the last", v.middle, v.last)
}

// text describes the result.
func (f *finding) text() string {
	var b strings.Builder
	c := f.counts
	fmt.Fprintf(&b, "%s over %s, %d readers, %d reloads: %d messages published (%d repeated), %d delivered\n", f.time, f.over, f.readers, c.reloads, c.published, c.repeats, c.delivered)
	fmt.Fprintf(&b, "%d streams, %d resumed; readers cancelled %d, closed %d connections and reset %d, which ended %d streams of others; %d ended by the server, %d not answered; %d gaps told\n",
		c.streams, c.resumed, c.cancels, c.closes, c.resets, c.torn, c.ended, c.refused, c.gaps)
	for _, line := range f.refusals {
		b.WriteString(line + "\n")
	}
	fmt.Fprintf(&b, "%d faults\n\n| what | third fifth | last fifth | flat |\n|---|---|---|---|\n", len(f.faults))
	for _, v := range f.verdicts() {
		flat := strconv.FormatBool(v.flat)
		if v.early {
			flat = "too early"
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %s |\n", v.name, v.middle, v.last, flat)
	}
	return b.String()
}
