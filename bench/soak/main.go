// Command soak lets readers come and go, publishers publish, and the
// configuration change for a long time, and tells whether anything was lost or
// doubled, and whether the server uses more and more of anything.
//
//	go run ./soak -for 30m -out ../docs/soak
//
// Every reader knows which messages it must see next. What the server uses is
// read from /proc and from Caddy's metrics.
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
)

// options are what a soak is run with.
type options struct {
	caddy     string // the program
	time      time.Duration
	readers   int
	rooms     int
	rate      float64 // messages a second, in all rooms together
	size      int     // bytes of text
	retain    int     // messages of a room
	reload    time.Duration
	stay      time.Duration // how long those who come and go stay, at the least
	away      time.Duration // how long they are away, at most, if it is not for long
	every     time.Duration // between samples
	out       string
	unsettled bool // whether it is too short for figures to settle
}

func main() {
	var o options
	flag.StringVar(&o.caddy, "caddy", "../caddy", "the Caddy that is run")
	flag.DurationVar(&o.time, "for", 30*time.Minute, "how long")
	flag.IntVar(&o.readers, "readers", 2000, "readers; a quarter of them come and go")
	flag.IntVar(&o.rooms, "rooms", 10, "rooms over which readers and messages are spread")
	flag.Float64Var(&o.rate, "rate", 10, "messages a second")
	flag.IntVar(&o.size, "size", 1000, "bytes of text")
	flag.IntVar(&o.retain, "retain", 50, "messages that each room keeps")
	flag.DurationVar(&o.reload, "reload", time.Minute, "between changes of the configuration")
	flag.DurationVar(&o.stay, "stay", 15*time.Second, "how long those who come and go stay, at the least; three times that at most")
	flag.DurationVar(&o.away, "away", 5*time.Second, "how long they are away at most, but for some who miss more than is kept")
	flag.StringVar(&o.out, "out", "", "where to write what was seen: <out>.csv and <out>.svg")
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

// finding is what came of a soak.
type finding struct {
	options
	samples []sample
	counts  counts
	faults  []string
}

// soak runs a Caddy and all that uses it.
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
	found.counts, found.faults = load.counted(), load.faults.list()
	if o.out == "" {
		return found, nil
	}
	return found, found.write()
}

// failure says what was wrong, or nothing.
func (f *finding) failure() error {
	var errs []error
	for _, fault := range f.faults {
		errs = append(errs, errors.New(fault))
	}
	if !f.unsettled {
		for _, v := range f.verdicts() {
			if !v.flat {
				errs = append(errs, fmt.Errorf("%s is not flat: %s", v.name, v.text()))
			}
		}
	}
	return errors.Join(errs...)
}
