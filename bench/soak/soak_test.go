package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/sse-chat/caddy-sse-chat"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// Soaks of a few seconds, in which everything of a long one happens.
func TestSoak(t *testing.T) { //nolint:tparallel // it sets a variable of the environment
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(caddytest.AsCaddy, "1")
	for _, c := range []struct {
		over    protocol.Name
		time    time.Duration
		readers int
	}{
		{protocol.HTTP, 20 * time.Second, 120},
		{protocol.HTTPS, 12 * time.Second, 240},
		{protocol.H2, 12 * time.Second, 240},
	} {
		t.Run(string(c.over), func(t *testing.T) {
			t.Parallel()
			soakBriefly(t, options{
				caddy: exe, over: c.over, time: c.time, readers: c.readers, rooms: 3, rate: 45, size: 200, retain: 30,
				reload: 4 * time.Second, stay: 500 * time.Millisecond, away: time.Second, every: time.Second,
				out: filepath.Join(t.TempDir(), "soak"), unsettled: true,
			})
		})
	}
}

func soakBriefly(t *testing.T, o options) {
	found, err := soak(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(found.text())
	if err := found.failure(); err != nil {
		t.Error(err)
	}
	for what, n := range map[string]int64{
		"messages published": found.counts.published, "messages delivered": found.counts.delivered, "streams resumed": found.counts.resumed,
		"streams ended by the server": found.counts.ended, "streams cancelled": found.counts.cancels, "connections closed": found.counts.closes,
		"connections reset": found.counts.resets, "streams that ended with their connection": found.counts.torn,
		"gaps": found.counts.gaps, "reloads": found.counts.reloads,
	} {
		if n == 0 {
			t.Errorf("there were no %s", what)
		}
	}
	csv, err := os.ReadFile(o.out + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(csv), "\n"); lines != len(found.samples)+1 {
		t.Errorf("%d lines of %d samples:\n%s", lines, len(found.samples), csv)
	}
	svg, err := os.Open(o.out + ".svg")
	if err != nil {
		t.Fatal(err)
	}
	defer svg.Close()
	for decoder := xml.NewDecoder(svg); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
}

func TestWhatGrowsIsNotFlat(t *testing.T) {
	steady := func() sample {
		const mb = 1 << 20
		return sample{resident: 100 * mb, proportional: 100 * mb, heap: 30 * mb, goroutines: 100, files: 2000, file: 16 * mb, live: 4 * mb, remembered: 3000}
	}
	for name, c := range map[string]struct {
		grow func(s *sample, i int)
		want string
	}{
		"nothing":                      {func(*sample, int) {}, ""},
		"memory, at the beginning":     {func(s *sample, i int) { s.resident += float64(min(i, 30)) * mega }, ""},
		"memory":                       {func(s *sample, i int) { s.resident += float64(i) * mega }, "resident memory"},
		"a heap that jumps to and fro": {func(s *sample, i int) { s.heap += float64(i%2) * 5 * mega }, ""},
		"goroutines, two a sample":     {func(s *sample, i int) { s.goroutines += 2 * float64(i) }, "goroutines"},
		"descriptors":                  {func(s *sample, i int) { s.files += 20 * float64(i) }, "descriptors"},
		"the file":                     {func(s *sample, i int) { s.file += float64(i) * mega / 5 }, "the store's file"},
		"nothing is known":             {func(s *sample, _ int) { s.heap = 0 }, "heap in use"},
	} {
		t.Run(name, func(t *testing.T) {
			f := finding{options: options{time: 30 * time.Minute}}
			for i := range 100 {
				s := steady()
				c.grow(&s, i)
				f.samples = append(f.samples, s)
			}
			switch err := f.failure(); {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("%v, want %q alone", err, c.want)
			}
		})
	}
}

// Until the first nonces expire, the file may grow with their number, but no faster.
func TestAShortSoakJudgesWhatIsStoredForEachNonce(t *testing.T) {
	for want, each := range map[string]float64{"": 0, "live data for each known nonce": 20} {
		f := finding{options: options{time: 10 * time.Minute}}
		for i := range 100 {
			n := float64(i + 1)
			f.samples = append(f.samples, sample{
				resident: mega, proportional: mega, heap: mega, goroutines: 1, files: 1,
				file: n * mega, live: mega + n*50*(1000+each*n), remembered: n * 50,
			})
		}
		switch err := f.failure(); {
		case want == "" && err != nil:
			t.Error(err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%v, want %q alone", err, want)
		}
	}
}

func TestNoncesAreForgotten(t *testing.T) {
	var all []sample
	for i := range 30 {
		now := sample{at: time.Duration(i+1) * time.Minute, published: float64(100 * (i + 1))}
		now.remembered = remembered(now, all)
		all = append(all, now)
		if want := float64(100 * min(i+1, 10)); now.remembered != want {
			t.Errorf("after %s %.0f are remembered, want %.0f", now.at, now.remembered, want)
		}
	}
}
