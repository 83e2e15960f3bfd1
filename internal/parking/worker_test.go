package parking

import (
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
)

// While a write is blocked, another worker goes on.
func TestABlockedWorkerIsReplaced(t *testing.T) {
	b := hubtest.New(t, hubtest.Plenty)
	first := NewLot(b).Enter()
	defer first.Leave()
	w := newWorker(first)
	w.inRound.Store(true)
	first.lot.mayBlock.Store(true)
	w.begin()
	for range 5 { // the second replaces it, and no other does
		w.look()
	}
	if n := first.lot.blocked.Load(); n != 1 {
		t.Errorf("%d blocked, want 1", n)
	}
	w.end()
	if !w.replaced {
		t.Error("the worker does not know that it is replaced")
	}
	// one whose writes take their turn is left alone
	quick := newWorker(first)
	quick.inRound.Store(true)
	for range 3 {
		quick.begin()
		quick.look()
		quick.end()
		quick.look()
	}
	if quick.replaced {
		t.Error("a worker that goes on was replaced")
	}
}
