package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var scenarios = map[string]func(*server, params) (result, error){
	"fanout":   fanout,
	"saturate": saturate,
	"idle":     idle,
	"publish":  publish,
}

const (
	cpuPerDelivery = "µs CPU per delivery"
	perSecond      = "deliveries/s"
	p50            = "p50 ms"
	p99            = "p99 ms"
	lost           = "lost"
	clientBusy     = "client busy"
	publishP50     = "publish p50 ms"
	cpuPerPublish  = "µs CPU per publish"
	publishes      = "publishes/s"
	kbPerReader    = "KB PSS per reader"
	cpuPerReader   = "µs CPU to connect"
	idleCPU        = "idle CPU ms/s"
)

var columnsOf = map[string][]string{
	"fanout":   {cpuPerDelivery, p50, p99, publishP50, lost, clientBusy},
	"saturate": {perSecond, cpuPerDelivery, p50, p99, lost, clientBusy},
	"idle":     {kbPerReader, cpuPerReader, idleCPU},
	"publish":  {cpuPerPublish, publishes, publishP50, p99},
}

// fanout publishes at an even rate to many readers.
func fanout(s *server, p params) (result, error) {
	r, err := connect(s, p.readers)
	if err != nil {
		return nil, err
	}
	w, err := newPublisher(s, p.size)
	if err != nil {
		return nil, err
	}
	defer w.close()
	for range 20 { // warm up
		if err := w.publish(); err != nil {
			return nil, err
		}
	}
	r.wait(int64(20 * p.readers))
	before, begin, cpu, busy := r.events.Load(), time.Now(), s.cpu(), r.busy.Load()
	r.sampling.Store(true)
	interval := time.Duration(float64(time.Second) / p.rate)
	count := int(p.time / interval)
	answers := make([]time.Duration, 0, count)
	for i := range count {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * interval)))
		sent := time.Now()
		if err := w.publish(); err != nil {
			return nil, err
		}
		answers = append(answers, time.Since(sent))
	}
	want := int64(count * p.readers)
	r.wait(before + want)
	got, used := r.events.Load()-before, s.cpu()-cpu
	share := float64(r.busy.Load()-busy) / float64(time.Since(begin))
	r.close()
	slices.Sort(answers)
	return result{
		cpuPerDelivery: micros(used) / float64(got),
		p50:            r.percentile(0.5),
		p99:            r.percentile(0.99),
		publishP50:     millis(answers[len(answers)/2]),
		lost:           float64(want - got),
		clientBusy:     share,
	}, nil
}

// saturate publishes as fast as the server answers.
func saturate(s *server, p params) (result, error) {
	r, err := connect(s, p.readers)
	if err != nil {
		return nil, err
	}
	begin, cpu, busy := time.Now(), s.cpu(), r.busy.Load()
	r.sampling.Store(true)
	sent, _, err := flood(s, p, p.time)
	if err != nil {
		return nil, err
	}
	took := time.Since(begin)
	during := r.events.Load()
	share := float64(r.busy.Load()-busy) / float64(took)
	want := sent * int64(p.readers)
	r.wait(want)
	took = max(took, time.Duration(float64(took)*float64(r.events.Load())/float64(max(during, 1))))
	got, used := r.events.Load(), s.cpu()-cpu
	r.close()
	return result{
		perSecond:      float64(got) / took.Seconds(),
		cpuPerDelivery: micros(used) / float64(got),
		p50:            r.percentile(0.5),
		p99:            r.percentile(0.99),
		lost:           float64(want - got),
		clientBusy:     share,
	}, nil
}

// flood publishes from several connections, each as fast as it is answered.
func flood(s *server, p params, d time.Duration) (sent int64, answers []time.Duration, err error) {
	var wg sync.WaitGroup
	var total atomic.Int64
	var mu sync.Mutex
	deadline := time.Now().Add(d)
	for range p.publishers {
		w, dialErr := newPublisher(s, p.size)
		if dialErr != nil {
			return 0, nil, dialErr
		}
		wg.Go(func() {
			defer w.close()
			var own []time.Duration
			for time.Now().Before(deadline) {
				begin := time.Now()
				if publishErr := w.publish(); publishErr != nil {
					mu.Lock()
					err = publishErr
					mu.Unlock()
					return
				}
				own = append(own, time.Since(begin))
				total.Add(1)
			}
			mu.Lock()
			answers = append(answers, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(answers)
	return total.Load(), answers, err
}

// idle opens streams and leaves them alone.
func idle(s *server, p params) (result, error) {
	base, err := s.memory()
	if err != nil {
		return nil, err
	}
	cpu := s.cpu()
	r, err := connect(s, p.readers)
	if err != nil {
		return nil, err
	}
	defer r.close()
	time.Sleep(time.Second)
	connected := s.cpu()
	time.Sleep(p.time)
	resting := s.cpu()
	full, err := s.memory()
	if err != nil {
		return nil, err
	}
	return result{
		kbPerReader:  float64(full-base) / 1024 / float64(p.readers),
		cpuPerReader: micros(connected-cpu) / float64(p.readers),
		idleCPU:      millis(resting-connected) / p.time.Seconds(),
	}, nil
}

// publish publishes as fast as the server answers, to one reader.
func publish(s *server, p params) (result, error) {
	r, err := connect(s, 1)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if _, _, err := flood(s, p, time.Second); err != nil {
		return nil, err
	}
	cpu, begin := s.cpu(), time.Now()
	sent, answers, err := flood(s, p, p.time)
	if err != nil {
		return nil, err
	}
	if sent == 0 {
		return nil, fmt.Errorf("nothing was published in %s", p.time)
	}
	return result{
		cpuPerPublish: micros(s.cpu()-cpu) / float64(sent),
		publishes:     float64(sent) / time.Since(begin).Seconds(),
		publishP50:    millis(answers[len(answers)/2]),
		p99:           millis(answers[len(answers)*99/100]),
	}, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
