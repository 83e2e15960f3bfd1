// Command durable measures the cost of storing messages on disk, compared with a
// bare bbolt transaction, the memory store, and Mercure's bolt transport, all on
// the same disk and in turn.
//
//	go run ./durable -dir /var/tmp
//
// It has three parts: only the stores, in this process; publishing over HTTP, to
// a separate Caddy; and a Caddy that starts with a million messages.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		serve(os.Args[2:])
		return
	}
	var (
		dir    = flag.String("dir", "", "folder on the disk to measure (default: the folder for temporary files)")
		parts  = flag.String("parts", "stores,http,million", "parts to run")
		rounds = flag.Int("rounds", 3, "number of rounds; each contender is measured once per round")
		span   = flag.Duration("time", 3*time.Second, "duration of each measurement")
		many   = flag.Int("publishers", 64, "number of publishers in measurements with many")
	)
	flag.Parse()
	work, err := os.MkdirTemp(*dir, "durable")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(work)
	b := &bench{dir: work, rounds: *rounds, time: *span, many: *many}
	for part := range strings.SplitSeq(*parts, ",") {
		switch part {
		case "stores":
			err = b.stores()
		case "http":
			err = b.http()
		case "million":
			err = b.million()
		default:
			err = fmt.Errorf("no part %q", part)
		}
		if err != nil {
			os.RemoveAll(work)
			log.Fatal(err)
		}
	}
}

// bench is one run.
type bench struct {
	dir    string
	rounds int
	time   time.Duration
	many   int
	files  int
}

// file returns a new name.
func (b *bench) file() string {
	b.files++
	return fmt.Sprintf("%s/%d.db", b.dir, b.files)
}

// sample is the result of one measurement.
type sample struct {
	rate   float64 // per second
	median time.Duration
}

// flood calls publish from many goroutines for a while.
func (b *bench) flood(publishers int, publish func(worker int) error) (sample, error) {
	type result struct {
		took []time.Duration
		err  error
	}
	results := make(chan result)
	begin := time.Now()
	for w := range publishers {
		go func() {
			var r result
			for last := begin; last.Sub(begin) < b.time && r.err == nil; {
				r.err = publish(w)
				now := time.Now()
				r.took = append(r.took, now.Sub(last))
				last = now
			}
			results <- r
		}()
	}
	var took []time.Duration
	var err error
	for range publishers {
		r := <-results
		took = append(took, r.took...)
		if r.err != nil {
			err = r.err
		}
	}
	slices.Sort(took)
	return sample{float64(len(took)) / time.Since(begin).Seconds(), took[len(took)/2]}, err
}

// contender is one of the things to compare.
type contender struct {
	name    string
	samples []sample
	measure func() (sample, error)
}

// compare measures contenders in turn and prints the medians of the results and
// of their ratios to the first contender in the same round.
func (b *bench) compare(title string, contenders []*contender) error {
	for range b.rounds {
		for _, c := range contenders {
			s, err := c.measure()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.samples = append(c.samples, s)
		}
	}
	fmt.Printf("\n%s\n\n| | publishes/s | × | median latency, µs | × |\n|---|---|---|---|---|\n", title)
	for _, c := range contenders {
		var rates, latencies, rateRatios, latencyRatios []float64
		for i, s := range c.samples {
			first := contenders[0].samples[i]
			rates, latencies = append(rates, s.rate), append(latencies, float64(s.median.Microseconds()))
			rateRatios = append(rateRatios, s.rate/first.rate)
			latencyRatios = append(latencyRatios, float64(s.median)/float64(first.median))
		}
		fmt.Printf("| %s | %.0f | %.2f | %.0f | %.2f |\n", c.name, median(rates), median(rateRatios), median(latencies), median(latencyRatios))
	}
	return nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
