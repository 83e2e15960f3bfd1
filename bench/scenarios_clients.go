package main

import (
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/load"
)

// A client loses its connection once in cutEvery, and has no network for cutAway.
const (
	cutEvery = 15 * time.Second
	cutAway  = 2 * time.Second
)

// settleLimit is how long clients may take to come back and get the last messages.
const settleLimit = time.Minute

func (p *process) clients(with params) (*load.Clients, error) {
	return load.ConnectClients(load.Target{
		Addr: p.site.Addr, Over: with.Over, Path: func(int) string { return p.kind.SubscribePath(nil) },
	}, with.Readers)
}

// cuts makes clients lose their connections while messages are published.
func cuts(s *process, p params) (result, error) {
	c, err := s.clients(p)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	w, err := s.post(p, c)
	if err != nil {
		return nil, err
	}
	begin, busy := time.Now(), c.Tally(nil).Busy
	c.Cut(cutEvery, cutAway)
	// half a pause more, so that the last message is sent
	time.Sleep(p.Time + time.Duration(float64(time.Second)/p.Rate/2))
	w.stop()
	share := float64(c.Tally(nil).Busy-busy) / float64(time.Since(begin))
	c.StopCuts()
	c.Settle(settleLimit)
	t := c.Tally(w.acknowledged)
	return result{
		wanted:     float64(t.Wanted),
		lost:       float64(t.Lost),
		doubled:    float64(t.Doubled),
		replays:    float64(len(t.Replayed)),
		replay99:   load.Percentile(t.Replayed, 0.99) / 1000,
		replayMost: load.Percentile(t.Replayed, 1) / 1000,
		rested99:   load.Percentile(t.Rested, 0.99) / 1000,
		restedMost: load.Percentile(t.Rested, 1) / 1000,
		latency99:  load.Percentile(t.Live, 0.99),
		neverBack:  float64(p.Readers - c.Open()),
		clientBusy: share,
	}, nil
}

// calm is how long messages are published before a redeploy.
const calm = 5 * time.Second

// redeploy deploys a server again while clients are connected and messages are
// published.
func redeploy(s *process, p params) (result, error) {
	c, err := s.clients(p)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	w, err := s.post(p, c)
	if err != nil {
		return nil, err
	}
	probe := s.probe(p.Over)
	time.Sleep(calm)
	begin, busy := time.Now(), c.Tally(nil).Busy
	err = s.redeploy()
	time.Sleep(time.Until(begin.Add(p.Time)))
	back := c.Since(begin)
	share := float64(c.Tally(nil).Busy-busy) / float64(time.Since(begin))
	probe.stop()
	w.stop()
	if err != nil {
		return nil, err
	}
	c.Settle(settleLimit)
	t := c.Tally(w.acknowledged)
	return result{
		down:       probe.outage.total.Seconds(),
		slowest:    w.slowest.Seconds(),
		ended:      float64(back.Ended),
		back50:     back.Share(0.5).Seconds(),
		back99:     back.Share(0.99).Seconds(),
		backAll:    back.Share(1).Seconds(),
		neverBack:  float64(back.Never),
		wanted:     float64(t.Wanted),
		lost:       float64(t.Lost),
		doubled:    float64(t.Doubled),
		clientBusy: share,
	}, nil
}
