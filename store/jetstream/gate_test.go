package jetstream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

// Who is alone is alone, and all come in sooner or later.
func TestAGateKeepsOthersOut(t *testing.T) {
	var g gate
	var mu sync.Mutex
	inside, alone, most := 0, false, 0
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for range 20 {
				if err := g.enter(t.Context(), nil, i%5 == 0); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if alone || i%5 == 0 && inside > 0 {
					t.Errorf("one is alone with %d others", inside)
				}
				inside++
				alone, most = i%5 == 0, max(most, inside)
				mu.Unlock()
				mu.Lock()
				inside--
				alone = false
				mu.Unlock()
				g.leave()
			}
		})
	}
	all.Wait()
	if g.inside != 0 || g.alone || g.waiting != 0 {
		t.Errorf("in the end the gate is %+v", &g)
	}
}

// Who gives up waiting holds up nobody.
func TestAGateIsLeftWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		enter := func(ctx context.Context, alone bool) <-chan error {
			done := make(chan error, 1)
			go func() { done <- g.enter(ctx, nil, alone) }()
			synctest.Wait()
			return done
		}
		if err := <-enter(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := enter(ctx, true)
		second := enter(t.Context(), false) // behind the first
		select {
		case err := <-first:
			t.Fatalf("one who wants to be alone is not: %v", err)
		case err := <-second:
			t.Fatalf("one who came later was first: %v", err)
		default:
		}
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who gives up is told %v", err)
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
		third := enter(t.Context(), true)
		g.leave()
		g.leave()
		if err := <-third; err != nil {
			t.Error(err)
		}
	})
}
