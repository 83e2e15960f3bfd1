package main

import (
	"fmt"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/load"
)

// slow measures the same server twice: first all read, then some do not.
func slow(s *process, p params) (result, error) {
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
	before := r.Settle()
	r.Phase(1)
	if _, err := w.Pace(p.Rate, p.Time/2); err != nil {
		return nil, err
	}
	quiet, _ := w.Done()
	r.Wait(before + quiet*int64(p.Readers))
	stalled := r.Stall(p.Stalled)
	memory := s.memory()
	m := s.measure(r)
	r.Phase(2)
	if _, err := w.Pace(p.Rate, p.Time); err != nil {
		return nil, err
	}
	sent, _ := w.Done()
	want := sent * int64(p.Readers-stalled)
	r.Wait(m.events + want)
	used, got, share, cut, grown := m.used(), m.got(), m.share(), r.Ended(), s.memory()-memory
	r.Close()
	return result{
		stalled99:      r.Latency(2, 0.99),
		quiet99:        r.Latency(1, 0.99),
		growthMB:       mega(grown),
		cpuPerDelivery: micros(used) / float64(max(got, 1)),
		lost:           float64(want - got),
		ended:          float64(cut),
		clientBusy:     share,
	}, nil
}

// churnGroup is the number of readers that connect and leave together.
const churnGroup = 50

// aftermath is how long a server may remember departed readers: some count them
// as present for a while.
const aftermath = 7 * time.Second

func churn(s *process, p params) (result, error) {
	visit := func(d time.Duration) (visits int, err error) {
		for begin := time.Now(); time.Since(begin) < d; visits += churnGroup {
			if err := load.Visit(load.Target{
				Addr: s.site.Addr, Over: p.Over, Path: func(int) string { return s.kind.SubscribePath(nil) },
			}, visits, churnGroup); err != nil {
				return visits, err
			}
		}
		return visits, nil
	}
	if _, err := visit(p.Time / 4); err != nil {
		return nil, err
	}
	time.Sleep(rest)
	memory, files, cpu, begin := s.memory(), s.descriptors(), s.cpu(), time.Now()
	visits, err := visit(p.Time)
	if err != nil {
		return nil, err
	}
	took := time.Since(begin)
	time.Sleep(aftermath)
	return result{
		cpuPerReader: micros(s.cpu()-cpu) / float64(visits),
		connects:     float64(visits) / took.Seconds(),
		keptKB:       float64(s.memory()-memory) / 1024 / float64(visits),
		keptFiles:    float64(s.descriptors() - files),
	}, nil
}

// roomsPerStream is the most rooms in one stream.
const roomsPerStream = 100

// rooms spreads readers over rooms: with more rooms than readers, each reads
// several, so every room has a reader.
func rooms(s *process, p params) (result, error) {
	each := max(1, (p.Rooms+p.Readers-1)/p.Readers)
	if each > roomsPerStream {
		return nil, fmt.Errorf("%d rooms are too many for %d readers", p.Rooms, p.Readers)
	}
	listeners := make([]int64, p.Rooms)
	of := func(i int) (names []string) {
		for k := range each {
			if room := i*each + k; each == 1 || room < p.Rooms {
				names = append(names, roomName(room%p.Rooms))
			}
		}
		return names
	}
	for i := range p.Readers {
		for k := range each {
			if room := i*each + k; each == 1 || room < p.Rooms {
				listeners[room%p.Rooms]++
			}
		}
	}
	base := s.memory()
	readers := min(p.Readers, (p.Rooms+each-1)/each)
	if each == 1 {
		readers = p.Readers
	}
	r, err := load.Connect(load.Target{Addr: s.site.Addr, Over: p.Over, Path: func(i int) string { return s.kind.SubscribePath(of(i)) }}, readers)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	time.Sleep(rest)
	full := s.memory()
	turn, want := 0, int64(0)
	w, err := load.NewPublishers(s.site.Addr, p.Over, 2*paceConns, p.Size, func(dst []byte, text string) []byte {
		// far apart, so that consecutive ones are no neighbours
		room := turn * 7919 % p.Rooms
		turn++
		want += listeners[room]
		return s.kind.AppendPublish(dst, s.site.Addr, roomName(room), text, 1)
	})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.Pace(p.Rate, p.Time/4); err != nil {
		return nil, err
	}
	r.Wait(want)
	want = 0
	w.Done()
	m := s.measure(r)
	r.Phase(1)
	if _, err := w.Pace(p.Rate, p.Time); err != nil {
		return nil, err
	}
	sent, _ := w.Done()
	r.Wait(m.events + want)
	used, got, share := m.used(), m.got(), m.share()
	r.Close()
	return result{
		cpuPerDelivery: micros(used) / float64(max(got, 1)),
		cpuPerPublish:  micros(used) / float64(max(sent, 1)),
		kbPerRoom:      float64(full-base) / 1024 / float64(p.Rooms),
		latency99:      r.Latency(1, 0.99),
		lost:           float64(want - got),
		clientBusy:     share,
	}, nil
}

func roomName(i int) string { return fmt.Sprint("room", i) }
