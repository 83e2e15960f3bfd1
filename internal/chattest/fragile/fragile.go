// Package fragile registers stores whose faults a test controls: "fragile", and
// "dead", which is down from the beginning. There is one hub with such a store
// at a time.
package fragile

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

func init() {
	caddy.RegisterModule(new(module))
	caddy.RegisterModule(new(deadModule))
}

var (
	// Down has the store refuse to write.
	Down atomic.Bool
	// Hangs has reads end only with their contexts.
	Hangs atomic.Bool
	// GivenUp counts the reads that ended so.
	GivenUp atomic.Int64
	// Reads counts the pages that were read for readers.
	Reads atomic.Int64
)

var errDown = errors.New("the disk is full")

var latest atomic.Pointer[memory.Store]

// Close closes the store that was opened last, as if its hub were closed.
func Close(t testing.TB) {
	t.Helper()
	if err := latest.Load().Close(); err != nil {
		t.Fatal(err)
	}
}

type module struct{}

func (*module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.sse_chat.stores.fragile", New: func() caddy.Module { return new(module) }}
}

func (*module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (*module) Place() string { return "fragile" }

func (*module) Open(_ string, hub store.Hub, limits store.Limits) (store.Store, error) {
	return open(hub, limits), nil
}

type deadModule struct{ module }

func (*deadModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.sse_chat.stores.dead", New: func() caddy.Module { return new(deadModule) }}
}

func (*deadModule) Place() string { return "dead" }

func (*deadModule) Open(_ string, hub store.Hub, limits store.Limits) (store.Store, error) {
	hub.(store.Peer).Reached(errDown)
	return open(hub, limits), nil
}

type fragileStore struct{ *memory.Store }

func open(hub store.Hub, limits store.Limits) store.Store {
	s := memory.Open(hub, limits)
	latest.Store(s)
	return fragileStore{s}
}

func (s fragileStore) Append(ctx context.Context, room string, drafts []store.Draft) ([]store.Receipt, error) {
	if Down.Load() {
		return nil, errDown
	}
	return s.Store.Append(ctx, room, drafts)
}

func (s fragileStore) Delete(ctx context.Context, id store.ID) error {
	if Down.Load() {
		return errDown
	}
	return s.Store.Delete(ctx, id)
}

func hang(ctx context.Context) error {
	if !Hangs.Load() {
		return nil
	}
	<-ctx.Done()
	GivenUp.Add(1)
	return ctx.Err()
}

func (s fragileStore) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	Reads.Add(1)
	if err := hang(ctx); err != nil {
		return store.Page{}, err
	}
	return s.Store.After(ctx, span, limit)
}

func (s fragileStore) Before(ctx context.Context, room string, before store.ID, limit int) (store.Page, error) {
	if err := hang(ctx); err != nil {
		return store.Page{}, err
	}
	return s.Store.Before(ctx, room, before, limit)
}

func (s fragileStore) Tail(ctx context.Context, rooms []string, upTo store.ID, n int) (store.Tail, error) {
	if err := hang(ctx); err != nil {
		return store.Tail{}, err
	}
	return s.Store.Tail(ctx, rooms, upTo, n)
}
