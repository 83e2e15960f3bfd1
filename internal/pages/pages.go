// Package pages reads pages of messages from a store, once for all who ask for the same
// page at about the same time.
package pages

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// pageLife is how long a page serves later requests for the same span, unless
	// something was published meanwhile. After a rollback, for example, all readers
	// ask at once.
	pageLife = 100 * time.Millisecond
	// maxPages is how many pages are shared at a time.
	maxPages = 64
	// failureLife is how long all reads fail at once after one has timed out, so
	// that readers that wait for their turn fail soon.
	failureLife = time.Second
)

// Reader reads pages of messages from a store, once for all readers that ask
// for the same span at about the same time. Its methods are safe for concurrent
// use.
type Reader struct {
	read    func(context.Context, store.Span) (store.Page, error)
	timeout time.Duration

	mu      sync.Mutex // guards all below
	recent  map[pageKey]*sharedPage
	failure error // error of a read that timed out; nil if none
	until   time.Time
}

// NewReader returns a page reader. Each call of read gets a context that ends
// after the timeout.
func NewReader(timeout time.Duration, read func(context.Context, store.Span) (store.Page, error)) *Reader {
	return &Reader{read: read, timeout: timeout, recent: make(map[pageKey]*sharedPage)}
}

// pageKey identifies a span: the messages between two ids in some rooms.
type pageKey struct {
	rooms       string // joined with commas, which no room name has
	after, upTo store.ID
	changes     bool
}

// sharedPage is a page that is being read, or was read a moment ago.
type sharedPage struct {
	done chan struct{} // closed when page and err are set
	page store.Page
	err  error
}

// ErrPanicked is returned for a read that panicked.
var ErrPanicked = errors.New("reading messages from the store panicked")

// Page returns the oldest messages of a span. The caller must not change the page.
// The error is that of the store, of ctx, or errPanicked.
func (p *Reader) Page(ctx context.Context, span store.Span) (store.Page, error) {
	key := pageKey{strings.Join(span.Rooms, ","), span.After, span.UpTo, span.Changes}
	shared, first, err := p.join(key)
	if err != nil {
		return store.Page{}, err
	}
	if first {
		// others may share the read, so it does not end with this caller's context
		go p.readShared(context.WithoutCancel(ctx), key, span, shared)
	}
	select {
	case <-shared.done:
		return shared.page, shared.err
	case <-ctx.Done():
		return store.Page{}, ctx.Err()
	}
}

// readShared reads a page for all callers that wait for it.
func (p *Reader) readShared(ctx context.Context, key pageKey, span store.Span, shared *sharedPage) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	defer close(shared.done)
	defer contain.Panic("reading messages from the store", func() {
		shared.err = ErrPanicked
		p.leave(key, shared)
	})
	shared.page, shared.err = p.read(ctx, span)
	p.keep(key, shared)
}

// join returns the shared page of a key, and whether the caller is the first to ask
// for it and must read it.
func (p *Reader) join(key pageKey) (shared *sharedPage, first bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure != nil && time.Now().Before(p.until) {
		return nil, false, p.failure
	}
	p.failure = nil
	if shared = p.recent[key]; shared != nil {
		return shared, false, nil
	}
	shared = &sharedPage{done: make(chan struct{})}
	if len(p.recent) < maxPages {
		p.recent[key] = shared
	}
	return shared, true, nil
}

// keep shares the result of a read for a while.
func (p *Reader) keep(key pageKey, shared *sharedPage) {
	if errors.Is(shared.err, context.DeadlineExceeded) {
		p.mu.Lock()
		p.failure = fmt.Errorf("a read timed out a moment ago: %w", shared.err)
		p.until = time.Now().Add(failureLife)
		p.mu.Unlock()
	}
	time.AfterFunc(pageLife, func() { p.leave(key, shared) })
}

// leave stops sharing a page.
func (p *Reader) leave(key pageKey, shared *sharedPage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recent[key] == shared {
		delete(p.recent, key)
	}
}

// Forget stops sharing all pages, because they may have messages that were deleted
// since.
func (p *Reader) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.recent)
}
