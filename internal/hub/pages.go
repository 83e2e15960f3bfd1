package hub

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
	// pageLife is for how long a page that was read serves others who ask for
	// the same, if nothing was published meanwhile. After a rollback, for
	// example, all readers do so at once.
	pageLife = 100 * time.Millisecond
	// maxPages is how many pages are kept for that.
	maxPages = 64
	// failureLife is for how long the store is not asked again once a read has
	// timed out, so that those who wait for their turn learn it soon.
	failureLife = time.Second
)

// pageReader reads pages of messages from a store, once for all who ask for the
// same at about the same time. Its methods are safe for concurrent use.
type pageReader struct {
	read    func(context.Context, store.Span) (store.Page, error)
	timeout time.Duration

	mu      sync.Mutex // guards all below
	recent  map[pageKey]*sharedPage
	failure error // of a read that has timed out
	until   time.Time
}

// newPageReader returns a reader of pages, each of which read must read within the
// timeout.
func newPageReader(timeout time.Duration, read func(context.Context, store.Span) (store.Page, error)) *pageReader {
	return &pageReader{read: read, timeout: timeout, recent: make(map[pageKey]*sharedPage)}
}

// pageKey is what a reader asks for: what lies between two ids in some rooms.
type pageKey struct {
	rooms       string // with commas between them, which no name has
	after, upTo store.ID
}

// sharedPage is a page that is being read, or was a moment ago.
type sharedPage struct {
	done chan struct{} // closed when the rest is set
	page store.Page
	err  error
}

// errPanicked is returned for a read that has panicked.
var errPanicked = errors.New("reading messages from the store panicked")

// page returns the oldest messages of a span. It must not be changed. The error is
// that of the store, of ctx, or [errPanicked].
func (p *pageReader) page(ctx context.Context, span store.Span) (store.Page, error) {
	key := pageKey{strings.Join(span.Rooms, ","), span.After, span.UpTo}
	shared, first, err := p.join(key)
	if err != nil {
		return store.Page{}, err
	}
	if first {
		// others may wait for it too, so it does not end with the first of them
		go p.readShared(context.WithoutCancel(ctx), key, span, shared)
	}
	select {
	case <-shared.done:
		return shared.page, shared.err
	case <-ctx.Done():
		return store.Page{}, ctx.Err()
	}
}

// readShared reads a page for all who wait for it.
func (p *pageReader) readShared(ctx context.Context, key pageKey, span store.Span, shared *sharedPage) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	defer close(shared.done)
	defer contain.Panic("reading messages from the store", func() {
		shared.err = errPanicked
		p.leave(key, shared)
	})
	shared.page, shared.err = p.read(ctx, span)
	p.keep(key, shared)
}

// join returns the page of a key, and whether the caller is the first who asks
// for it and has to read it.
func (p *pageReader) join(key pageKey) (shared *sharedPage, first bool, err error) {
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

// keep takes note of how a read has ended.
func (p *pageReader) keep(key pageKey, shared *sharedPage) {
	if errors.Is(shared.err, context.DeadlineExceeded) {
		p.mu.Lock()
		p.failure = fmt.Errorf("a read timed out a moment ago: %w", shared.err)
		p.until = time.Now().Add(failureLife)
		p.mu.Unlock()
	}
	time.AfterFunc(pageLife, func() { p.leave(key, shared) })
}

func (p *pageReader) leave(key pageKey, shared *sharedPage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recent[key] == shared {
		delete(p.recent, key)
	}
}

// forget keeps pages from serving those who ask from now on, because they may
// hold what is no longer to be seen.
func (p *pageReader) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.recent)
}
