package main

import (
	"fmt"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/load"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/servers"
)

// scenario is something to measure.
type scenario struct {
	about   string
	run     func(*process, params) (result, error)
	columns []column
	fits    func(*servers.Server) bool
}

var scenarios = map[string]scenario{
	"fanout": {
		about:   "one message after the other, at an even rate, to many readers",
		run:     fanout,
		columns: []column{cpuPerDelivery, latency50, latency99, peakMB, lost, ended, orders, clientBusy, late},
		fits:    delivers,
	},
	"saturate": {
		about:   "publishers that never pause, and many readers",
		run:     saturate,
		columns: []column{perSecond, cpuPerDelivery, latency50, latency99, publishes, lost, ended, orders, clientBusy},
		fits:    delivers,
	},
	"idle": {
		about:   "readers to whom nothing is sent",
		run:     idle,
		columns: []column{kbPerReader, cpuPerReader, idleCPU},
		fits:    delivers,
	},
	"publish": {
		about:   "publishers that never pause, and one reader",
		run:     publish,
		columns: []column{cpuPerPublish, publishes, answer50, answer99, lost},
		fits:    func(*servers.Server) bool { return true },
	},
	"batch": {
		about:   "the same, with many messages in a request",
		run:     publishBatches,
		columns: []column{cpuPerPublish, publishes, answer50, answer99, lost},
		fits:    (*servers.Server).Batches,
	},
	"replay": {
		about:   "readers that all come at once for the last 1,000 messages",
		run:     replay,
		columns: []column{perMessage, seconds, lost},
		fits:    func(s *servers.Server) bool { return s.Replay != "" },
	},
	"slow": {
		about:   "large messages at an even rate, without and then with readers that do not read",
		run:     slow,
		columns: []column{stalled99, quiet99, growthMB, cpuPerDelivery, lost, ended, clientBusy},
		fits:    delivers,
	},
	"churn": {
		about:   "readers that connect and leave at once",
		run:     churn,
		columns: []column{cpuPerReader, connects, keptKB, keptFiles},
		fits:    delivers,
	},
	"rooms": {
		about:   "one message after the other, at an even rate, to many rooms in turn",
		run:     rooms,
		columns: []column{cpuPerDelivery, cpuPerPublish, kbPerRoom, latency99, lost, clientBusy},
		fits:    func(s *servers.Server) bool { return s.Rooms },
	},
	"cuts": {
		about:   "clients that lose their connections again and again, and come back as browsers do",
		run:     cuts,
		columns: []column{wanted, lost, doubled, replays, replay99, replayMost, rested99, restedMost, latency99, neverBack, clientBusy},
		fits:    func(s *servers.Server) bool { return s.Resumes },
	},
	"redeploy": {
		about:   "a reload, or with a durable store an exit and a restart, while clients are connected",
		run:     redeploy,
		columns: []column{down, ended, back50, back99, backAll, neverBack, wanted, lost, doubled, slowest, clientBusy},
		fits:    func(s *servers.Server) bool { return s.Resumes && s.Redeploys() },
	},
}

func delivers(s *servers.Server) bool { return s.Delivers }

// params are the parameters of a scenario.
type params struct {
	Over       protocol.Name `json:"over"`
	Readers    int           `json:"readers"`
	Publishers int           `json:"publishers"`
	Size       int           `json:"size"` // bytes of text
	Rate       float64       `json:"rate"` // requests per second
	Rooms      int           `json:"rooms"`
	Batch      int           `json:"batch"`
	Stalled    int           `json:"stalled"`
	Time       time.Duration `json:"time"`
}

// result is the result of one measurement.
type result map[column]float64

// readers opens streams of the shared room.
func (p *process) readers(with params, n int) (*load.Readers, error) {
	return load.Connect(load.Target{Addr: p.site.Addr, Over: with.Over, Path: func(int) string { return p.kind.SubscribePath(nil) }}, n)
}

func (p *process) publishers(with params, n, size, batch int) (*load.Publishers, error) {
	return load.NewPublishers(p.site.Addr, with.Over, n, size, func(dst []byte, text string) []byte {
		return p.kind.AppendPublish(dst, p.site.Addr, "", text, batch)
	})
}

// meter holds the values at the start of a measurement.
type meter struct {
	process *process
	readers *load.Readers
	begin   time.Time
	cpu     time.Duration
	busy    time.Duration
	events  int64
}

func (p *process) measure(r *load.Readers) meter {
	events := r.Settle()
	return meter{p, r, time.Now(), p.cpu(), r.Busy(), events}
}

func (m meter) used() time.Duration { return m.process.cpu() - m.cpu }
func (m meter) got() int64          { return m.readers.Events() - m.events }

// share returns the share of time in which the client's thread was busy.
func (m meter) share() float64 {
	return float64(m.readers.Busy()-m.busy) / float64(time.Since(m.begin))
}

// paceConns is the number of connections that publish at an even rate.
const paceConns = 4

func fanout(s *process, p params) (result, error) {
	r, err := s.readers(p, p.Readers)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	w, err := s.publishers(p, paceConns, p.Size, 1)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := warmUp(r, w, p); err != nil {
		return nil, err
	}
	m := s.measure(r)
	r.Phase(1)
	tooLate, err := w.Pace(p.Rate, p.Time)
	if err != nil {
		return nil, err
	}
	sent, _ := w.Done()
	want := sent * int64(p.Readers)
	r.Wait(m.events + want)
	used, got, share, peak, cut := m.used(), m.got(), m.share(), s.peak(), r.Ended()
	r.Close()
	return result{
		cpuPerDelivery: micros(used) / float64(max(got, 1)),
		latency50:      r.Latency(1, 0.5),
		latency99:      r.Latency(1, 0.99),
		peakMB:         mega(peak),
		lost:           float64(want - got),
		ended:          float64(cut),
		orders:         float64(r.Orders()),
		clientBusy:     share,
		late:           float64(tooLate),
	}, nil
}

// warmUp makes a server send some messages that are not counted.
func warmUp(r *load.Readers, w *load.Publishers, p params) error {
	before := r.Settle()
	_, err := w.Pace(p.Rate, p.Time/4)
	sent, _ := w.Done()
	r.Wait(before + sent*int64(p.Readers))
	return err
}

func saturate(s *process, p params) (result, error) {
	r, err := s.readers(p, p.Readers)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	w, err := s.publishers(p, p.Publishers, p.Size, 1)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	m := s.measure(r)
	r.Phase(1)
	if err := w.Flood(p.Time); err != nil {
		return nil, err
	}
	share, flooded := m.share(), time.Since(m.begin)
	sent, _ := w.Done()
	want := sent * int64(p.Readers)
	got := r.Wait(m.events + want)
	used, cut := m.used(), r.Ended()
	r.Close()
	return result{
		perSecond:      float64(m.got()) / got.Sub(m.begin).Seconds(),
		cpuPerDelivery: micros(used) / float64(max(m.got(), 1)),
		latency50:      r.Latency(1, 0.5),
		latency99:      r.Latency(1, 0.99),
		publishes:      float64(sent) / flooded.Seconds(),
		lost:           float64(want - m.got()),
		ended:          float64(cut),
		orders:         float64(r.Orders()),
		clientBusy:     share,
	}, nil
}

// rest is how long a server idles before its memory is read.
const rest = time.Second

func idle(s *process, p params) (result, error) {
	base, cpu := s.memory(), s.cpu()
	r, err := s.readers(p, p.Readers)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	time.Sleep(rest)
	connected, begin := s.cpu(), time.Now()
	time.Sleep(p.Time)
	resting, took := s.cpu(), time.Since(begin)
	return result{
		kbPerReader:  float64(s.memory()-base) / 1024 / float64(p.Readers),
		cpuPerReader: micros(connected-cpu) / float64(p.Readers),
		idleCPU:      millis(resting-connected) / took.Seconds(),
	}, nil
}

func publish(s *process, p params) (result, error) {
	p.Batch = 1
	return publishBatches(s, p)
}

func publishBatches(s *process, p params) (result, error) {
	batch, readers := p.Batch, 0
	if s.kind.Delivers {
		readers = 1
	}
	r, err := s.readers(p, readers)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	w, err := s.publishers(p, p.Publishers, p.Size, batch)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Flood(p.Time / 4); err != nil {
		return nil, err
	}
	w.Done()
	m := s.measure(r)
	if err := w.Flood(p.Time); err != nil {
		return nil, err
	}
	took, used := time.Since(m.begin), m.used()
	requests, answers := w.Done()
	if requests == 0 {
		return nil, fmt.Errorf("nothing was published in %s", p.Time)
	}
	sent := requests * int64(batch)
	want := sent * int64(readers)
	r.Wait(m.events + want)
	return result{
		cpuPerPublish: micros(used) / float64(sent),
		publishes:     float64(sent) / took.Seconds(),
		answer50:      load.Percentile(answers, 0.5),
		answer99:      load.Percentile(answers, 0.99),
		lost:          float64(want - m.got()),
	}, nil
}

// replayed is the number of messages that each reader gets.
const replayed = 1000

func replay(s *process, p params) (result, error) {
	w, err := s.publishers(p, 1, p.Size, 1)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := w.Send(replayed + 1); err != nil { // one of the servers omits the first
		return nil, err
	}
	time.Sleep(rest)
	cpu, begin := s.cpu(), time.Now()
	r, err := load.Connect(load.Target{
		Addr: s.site.Addr, Over: p.Over, Path: func(int) string { return s.kind.Replay }, Header: s.kind.Header,
	}, p.Readers)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	want := int64(replayed * p.Readers)
	took := r.Wait(want).Sub(begin)
	time.Sleep(rest / 4)
	return result{
		perMessage: micros(s.cpu()-cpu) / float64(max(r.Events(), 1)),
		seconds:    took.Seconds(),
		lost:       float64(max(0, want-r.Events())),
	}, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func mega(bytes int64) float64       { return float64(bytes) / (1 << 20) }
