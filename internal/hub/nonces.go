package hub

import (
	"context"
	"errors"
	"sync"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// underway is which nonces are on their way to the store of a hub. A store
// finds only what it holds, so a repeat has to wait for its first to know that
// it is one. The zero value is ready; it is safe for concurrent use.
type underway struct {
	mu     sync.Mutex // guards nonces
	nonces map[ownedNonce]chan struct{}
}

// ownedNonce names what a repeat repeats.
type ownedNonce struct{ room, owner, nonce string }

// begin waits until none of the drafts' nonces is on its way, and then has all
// of them on their way until end is called. All at once, or two batches could
// wait for each other.
func (u *underway) begin(ctx context.Context, room string, drafts []store.Draft) (end func(), err error) {
	var mine []ownedNonce
	for _, draft := range drafts {
		if draft.Nonce != "" {
			mine = append(mine, ownedNonce{room, draft.Owner, draft.Nonce})
		}
	}
	for len(mine) > 0 {
		other := u.claim(mine)
		if other == nil {
			return func() { u.release(mine) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, errors.New("the first message with this nonce is not stored yet")
		}
	}
	return func() {}, nil
}

// claim puts nonces on their way. If one of them is already, it puts none and
// returns what is closed when that one has arrived.
func (u *underway) claim(mine []ownedNonce) (other <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, n := range mine {
		if ended, ok := u.nonces[n]; ok {
			return ended
		}
	}
	if u.nonces == nil {
		u.nonces = make(map[ownedNonce]chan struct{})
	}
	ended := make(chan struct{})
	for _, n := range mine {
		u.nonces[n] = ended
	}
	return nil
}

func (u *underway) release(mine []ownedNonce) {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.nonces[mine[0]])
	for _, n := range mine {
		delete(u.nonces, n)
	}
}

// CountFresh returns how many drafts are not repeats, neither of what is
// stored nor of each other.
func (h *Hub) CountFresh(ctx context.Context, room string, drafts []store.Draft) (int, error) {
	fresh := 0
	seen := make(map[string]bool)
	for _, draft := range drafts {
		if draft.Nonce == "" {
			fresh++
			continue
		}
		if seen[draft.Nonce] {
			continue
		}
		seen[draft.Nonce] = true
		first, err := h.store.Find(ctx, room, draft.Owner, draft.Nonce)
		if err != nil {
			return 0, err
		}
		if !first.Repeat {
			fresh++
		}
	}
	return fresh, nil
}

// BeginNonces waits until no nonce of the drafts is on its way to the store, and
// then has them on their way until end is called.
func (h *Hub) BeginNonces(ctx context.Context, room string, drafts []store.Draft) (end func(), err error) {
	return h.underway.begin(ctx, room, drafts)
}
