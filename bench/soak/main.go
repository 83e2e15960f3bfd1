// Command soak connects and disconnects readers, publishes, and reloads the
// configuration for a long time. It reports whether anything was lost or
// duplicated, and whether any resource usage grows.
//
//	go run ./soak -for 30m -out ../docs/soak
//
// Every reader knows which message it must see next. The server's usage is read
// from /proc and from Caddy's metrics.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// options are the parameters of a soak.
type options struct {
	caddy     string // the program
	over      protocol.Name
	time      time.Duration
	readers   int
	rooms     int
	rate      float64 // messages per second, in all rooms together
	size      int     // bytes of text
	retain    int     // messages of a room
	reload    time.Duration
	stay      time.Duration // the shortest stay of readers that come and go
	away      time.Duration // the longest short absence
	every     time.Duration // between samples
	out       string
	unsettled bool // whether it is too short for figures to settle
}

func main() {
	o := options{over: protocol.HTTP}
	flag.StringVar(&o.caddy, "caddy", "../caddy", "Caddy binary to run")
	flag.Var(&o.over, "over", "http, https (HTTP/1.1) or h2; one reader of ten always speaks HTTP/2")
	flag.DurationVar(&o.time, "for", 30*time.Minute, "duration of the soak")
	flag.IntVar(&o.readers, "readers", 2000, "readers; a quarter of them connect and disconnect")
	flag.IntVar(&o.rooms, "rooms", 10, "rooms over which readers and messages are spread")
	flag.Float64Var(&o.rate, "rate", 10, "messages per second")
	flag.IntVar(&o.size, "size", 1000, "bytes of text")
	flag.IntVar(&o.retain, "retain", 50, "messages that each room keeps")
	flag.DurationVar(&o.reload, "reload", time.Minute, "time between configuration reloads")
	flag.DurationVar(&o.stay, "stay", 15*time.Second, "shortest stay of readers that come and go; the longest is three times that")
	flag.DurationVar(&o.away, "away", 5*time.Second, "longest absence, except for some that miss more than is kept")
	flag.StringVar(&o.out, "out", "", "where to write the samples: <out>.csv and <out>.svg")
	flag.Parse()
	o.every = max(time.Second, o.time/180)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	found, err := soak(ctx, o)
	if err == nil {
		fmt.Print(found.text())
		err = found.failure()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// finding is the result of a soak.
type finding struct {
	options
	samples  []sample
	counts   counts
	refusals []string
	faults   []string // what must not happen
}

// soak runs a Caddy and its load.
func soak(ctx context.Context, o options) (*finding, error) {
	s, err := start(o)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	load := newLoad(o, s)
	base, err := load.prepare(ctx)
	if err != nil {
		return nil, err
	}
	found := &finding{options: o}
	found.samples, err = load.run(ctx)
	if err != nil {
		load.leave()
		return nil, errors.Join(err, errors.New(s.logged()))
	}
	load.settle()
	load.leave()
	if now, back := s.backTo(base); !back {
		load.faults.add("%.0f goroutines and %.0f descriptors are left after all have gone, and were %.0f and %.0f before", now.goroutines, now.files, base.goroutines, base.files)
	}
	for _, line := range s.errors() {
		load.faults.add("logged: %s", line)
	}
	found.counts, found.refusals, found.faults = load.counted(), load.refusals.list(), load.faults.list()
	if o.out == "" {
		return found, nil
	}
	return found, found.write()
}

// failure returns what was wrong, or nil.
func (f *finding) failure() error {
	var errs []error
	for _, fault := range f.faults {
		errs = append(errs, errors.New(fault))
	}
	if !f.unsettled {
		for _, v := range f.verdicts() {
			if !v.flat && !v.early {
				errs = append(errs, fmt.Errorf("%s is not flat: %s", v.name, v.text()))
			}
		}
	}
	return errors.Join(errs...)
}
