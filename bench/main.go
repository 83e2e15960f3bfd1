// Command bench measures what a delivery, a publish and an idle reader cost on
// our server, on others, and on the floor that the kernel sets.
//
//	go run . -suite short
//	go run . -scenario fanout -readers 1000 -rate 50 -servers floor,ours,nchan
//
// Each server runs in its own process. Its cost is read from /proc, and its
// deliveries are counted by a client that does as little as possible. The servers
// of a round are measured one after the other and compared with the first of the
// same round, because a machine's performance changes over time.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/servers"
)

func main() {
	raiseFileLimit()
	if len(os.Args) == 7 && os.Args[1] == "serve" {
		servers.Serve(os.Args[2], servers.Site{Addr: os.Args[3], Dir: os.Args[4], Cert: os.Args[5], Key: os.Args[6]})
		return
	}
	if err := run(); err != nil {
		say("%v", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		suite    = flag.String("suite", "", "short, full, back or growth: a list of measurements")
		only     = flag.String("only", "", "run only measurements of the suite whose name contains this")
		in       = flag.String("in", "", "results file to write again instead of measuring")
		out      = flag.String("out", "", "where to write results: <out>.json, <out>-tables.md and <out>.svg")
		profiles = flag.String("profiles", "", "folder for CPU profiles of the servers in Go")
		names    = flag.String("servers", "", "servers in the order of a round; the others are compared with the first")
		j        job
	)
	flag.StringVar(&j.Scenario, "scenario", "fanout", "fanout, saturate, idle, publish, batch, replay, slow, churn, rooms, cuts or redeploy")
	j.Params.Over = protocol.HTTP
	flag.Var(&j.Params.Over, "over", "http, https (HTTP/1.1) or h2")
	flag.IntVar(&j.Rounds, "rounds", 3, "number of rounds; each server is measured once per round; a suite has its own")
	flag.IntVar(&j.Params.Readers, "readers", 1000, "open streams")
	flag.Float64Var(&j.Params.Rate, "rate", 50, "messages per second, in fanout, slow, rooms, cuts and redeploy")
	flag.IntVar(&j.Params.Publishers, "publishers", 16, "connections that publish, in saturate, publish and batch")
	flag.IntVar(&j.Params.Size, "size", 100, "bytes of text")
	flag.IntVar(&j.Params.Batch, "batch", 100, "messages per request, in batch")
	flag.IntVar(&j.Params.Rooms, "rooms", 1, "rooms, in rooms")
	flag.IntVar(&j.Params.Stalled, "stalled", 10, "readers that stall, in slow")
	flag.DurationVar(&j.Params.Time, "time", 3*time.Second, "duration of each measurement")
	flag.Parse()
	if *names != "" {
		j.Servers = strings.Split(*names, ",")
	}
	if *in != "" {
		r, err := readReport(*in)
		if err != nil {
			return err
		}
		return r.write(*out)
	}
	jobs := []job{j}
	if *suite != "" {
		var err error
		if jobs, err = suiteOf(*suite, j.Servers); err != nil {
			return err
		}
		if isGiven("rounds") {
			for i := range jobs {
				jobs[i].Rounds = j.Rounds
			}
		}
		jobs = slices.DeleteFunc(jobs, func(j job) bool { return !strings.Contains(j.Name, *only) })
	}
	r := newReport()
	for _, j := range jobs {
		m, err := j.measure(*profiles)
		if err != nil {
			return err
		}
		r.Measurements = append(r.Measurements, m)
		fmt.Print(m.markdown())
	}
	if *out == "" {
		return nil
	}
	return r.write(*out)
}

// isGiven reports whether the command line has a flag.
func isGiven(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

// raiseFileLimit raises the limit of open files for this process and its children
// as far as allowed.
func raiseFileLimit() {
	const enough = 200_000
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: enough, Max: enough}) == nil {
		return
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		limit.Cur = limit.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
}
