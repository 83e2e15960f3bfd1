// Command bench measures what a delivery, a publish and an idle reader cost a
// server: ours, its rivals, and the floor that the kernel sets.
//
//	go run . -scenario fanout -readers 1000 -rate 50 -servers floor,ours
//
// Each server runs in a process of its own. What it costs is read from /proc;
// what it delivers is counted by a client that does as little as it can.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		serveMain(os.Args[2])
		return
	}
	var (
		scenario = flag.String("scenario", "fanout", "fanout, saturate, idle, publish, replay")
		servers  = flag.String("servers", "floor,ours", "which servers, in the order of a round")
		rounds   = flag.Int("rounds", 3, "how often each server is measured, in turn")
		p        params
	)
	flag.IntVar(&p.readers, "readers", 1000, "open streams")
	flag.Float64Var(&p.rate, "rate", 50, "messages a second, in fanout")
	flag.IntVar(&p.publishers, "publishers", 16, "connections that publish, in saturate and publish")
	flag.IntVar(&p.size, "size", 100, "bytes of text")
	flag.DurationVar(&p.time, "time", 5*time.Second, "how long each measurement takes")
	flag.Parse()
	run, ok := scenarios[*scenario]
	if !ok {
		fmt.Fprintf(os.Stderr, "no scenario %q\n", *scenario)
		os.Exit(2)
	}
	names := strings.Split(*servers, ",")
	results := make(map[string][]result)
	for round := range *rounds {
		for _, name := range names {
			fmt.Fprintf(os.Stderr, "round %d: %s\n", round+1, name)
			r, err := measure(name, run, p)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
				os.Exit(1)
			}
			results[name] = append(results[name], r)
		}
	}
	printTable(*scenario, p, names, results)
}

// params are what a scenario is run with.
type params struct {
	readers, publishers, size int
	rate                      float64
	time                      time.Duration
}

// result is what one measurement found, by the names of its columns.
type result map[string]float64

func measure(name string, run func(*server, params) (result, error), p params) (result, error) {
	s, err := start(name)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	return run(s, p)
}

// printTable prints medians, and for each server the median of its ratio to
// the first one in the same round.
func printTable(scenario string, p params, names []string, results map[string][]result) {
	columns := columnsOf[scenario]
	fmt.Printf("%s: %d readers, %.0f messages/s, %d publishers, %d bytes, %s\n\n", scenario, p.readers, p.rate, p.publishers, p.size, p.time)
	fmt.Printf("| server | %s |\n|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
	for _, name := range names {
		fmt.Printf("| %s |", name)
		for _, column := range columns {
			var values, ratios []float64
			for i, r := range results[name] {
				values = append(values, r[column])
				if first := results[names[0]][i][column]; first > 0 {
					ratios = append(ratios, r[column]/first)
				}
			}
			fmt.Printf(" %s", format(median(values)))
			if len(ratios) > 0 && name != names[0] {
				fmt.Printf(" (%.2f×)", median(ratios))
			}
			fmt.Print(" |")
		}
		fmt.Println()
	}
}

func format(v float64) string {
	switch {
	case v >= 100_000:
		return fmt.Sprintf("%.0fk", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
