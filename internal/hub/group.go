package hub

import "sync"

// Group is the streams of one handler, which [Hub.EndGroup] ends together. Parked
// streams do not belong to it. Its methods are safe for concurrent use. A
// subscriber may have a nil group.
type Group struct {
	mu      sync.Mutex // guards all below
	open    int
	drained func() // called when the last stream leaves
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

// Drain calls drained once all streams of the group have ended, with the number
// that are open now. It does nothing if none is open.
func (g *Group) Drain(drained func(streams int)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if streams := g.open; streams > 0 {
		g.drained = func() { drained(streams) }
	}
}
