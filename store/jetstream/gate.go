package jetstream

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// gate is a lock for reading and writing over requests to NATS, whose wait ends
// with a context and when the store is closed. The zero gate is open.
type gate struct {
	mu      sync.Mutex // guards all below
	inside  int
	alone   bool          // the one inside
	waiting int           // for being alone
	left    chan struct{} // closed when someone leaves; nil if nobody waits
}

// enter waits until it may go in, with others or alone. Whoever is in has to
// leave. closed is closed when the store is.
func (g *gate) enter(ctx context.Context, closed <-chan struct{}, alone bool) error {
	waited := false
	for {
		g.mu.Lock()
		if waited {
			g.waiting--
			waited = false
		}
		// who wants to be alone is not kept waiting by those who come later
		if g.inside == 0 || !alone && !g.alone && g.waiting == 0 {
			g.inside++
			g.alone = alone
			g.mu.Unlock()
			return nil
		}
		if g.left == nil {
			g.left = make(chan struct{})
		}
		left := g.left
		if alone {
			g.waiting++
			waited = true
		}
		g.mu.Unlock()
		var err error
		select {
		case <-left:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-closed:
			err = store.ErrClosed
		}
		if waited {
			g.mu.Lock()
			g.waiting--
			g.wake()
			g.mu.Unlock()
		}
		return err
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.alone = false
	g.wake()
}

// wake has all who wait try again. The lock is held.
func (g *gate) wake() {
	if g.left != nil {
		close(g.left)
		g.left = nil
	}
}

// gates are many gates by name.
type gates [64]gate

var gateSeed = maphash.MakeSeed()

func (g *gates) of(name string) *gate {
	return &g[maphash.String(gateSeed, name)%uint64(len(g))]
}
