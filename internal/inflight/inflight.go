// Package inflight tells which messages repeat others by their nonces: those that are stored,
// and those that are being written to a store, whose outcome a repeat waits for.
package inflight

import (
	"context"
	"errors"
	"sync"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Nonces are the nonces that are being written to a hub's store. The store
// finds only what it has stored, so a repeat must wait for the first to be
// recognized as one. The zero value is ready for use. Its methods are safe for
// concurrent use.
type Nonces struct {
	mu     sync.Mutex // guards nonces
	nonces map[ownedNonce]chan struct{}
}

// ownedNonce identifies a message that may be repeated.
type ownedNonce struct {
	room  string
	owner store.Owner
	nonce string
}

// Begin waits until none of the drafts' nonces is in flight, and marks them in
// flight until end is called. It takes all or none, so that two batches cannot wait
// for each other. The error is that ctx has ended.
func (u *Nonces) Begin(ctx context.Context, room string, drafts []store.Draft) (end func(), err error) {
	var mine []ownedNonce
	for _, draft := range drafts {
		if draft.Nonce != "" {
			mine = append(mine, ownedNonce{room, draft.Owner, draft.Nonce})
		}
	}
	for len(mine) > 0 {
		other := u.reserve(mine)
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

// reserve marks nonces in flight. If one of them is already, it marks none and
// returns a channel that is closed when that one has landed.
func (u *Nonces) reserve(mine []ownedNonce) (other <-chan struct{}) {
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

func (u *Nonces) release(mine []ownedNonce) {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.nonces[mine[0]])
	for _, n := range mine {
		delete(u.nonces, n)
	}
}
