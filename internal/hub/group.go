package hub

import "sync"

// Group is the streams of one handler, which end together; see
// [broker.endGroup]. A nil group takes note of nothing.
type Group struct {
	mu      sync.Mutex // guards all below
	open    int
	drained func() // called when none is open any more
}

func (g *Group) join() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open++
}

func (g *Group) leave() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.open--
	drained := g.drained
	if g.open > 0 {
		drained = nil
	} else {
		g.drained = nil
	}
	g.mu.Unlock()
	if drained != nil {
		drained()
	}
}

// Drain has drained called, with how many streams are open now, when they have
// ended; not if there are none.
func (g *Group) Drain(drained func(streams int)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if streams := g.open; streams > 0 {
		g.drained = func() { drained(streams) }
	}
}

// EndGroup ends the streams of a group, for a reason, but for those that are
// parked: nothing binds them to a configuration.
func (h *Hub) EndGroup(g *Group, reason string) {
	h.wheel.Each(func(s *Subscriber) {
		if s.group == g && !s.parked() {
			s.End(reason)
		}
	})
}
