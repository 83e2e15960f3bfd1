package ssechat

import "sync"

// group is the streams of one handler, which end together; see
// [broker.endGroup]. A nil group takes note of nothing.
type group struct {
	mu      sync.Mutex // guards all below
	open    int
	drained func() // called when none is open any more
}

func (g *group) join() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open++
}

func (g *group) leave() {
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

// drain has drained called, with how many streams are open now, when they have
// ended; not if there are none.
func (g *group) drain(drained func(streams int)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if streams := g.open; streams > 0 {
		g.drained = func() { drained(streams) }
	}
}
