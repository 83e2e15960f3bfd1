package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

// reader reads some rooms, and reconnects whenever its stream ends.
type reader struct {
	load    *load
	name    string
	url     string
	rooms   []*room
	browser *browser
	roams   bool          // whether it connects and disconnects
	retry   time.Duration // from the server

	mu     sync.Mutex // guards all below
	places []place
	last   string   // id
	conn   net.Conn // of the last request, once it has one
}

// kinds of readers, of which there are ten
const (
	behindProxy = 0
	notParked   = 1
)

func kindOf(reader int) int { return reader / 4 % 10 }

// newReader returns a reader. Every fifth reads two rooms.
func (l *load) newReader(i int, b *browser) *reader {
	r := &reader{load: l, name: fmt.Sprintf("reader %d", i), browser: b, roams: i%4 == 3}
	r.rooms = []*room{l.rooms[i%len(l.rooms)]}
	if next := l.rooms[(i+1)%len(l.rooms)]; i/len(l.rooms)%5 == 0 && next != r.rooms[0] {
		r.rooms = append(r.rooms, next)
	}
	r.places = make([]place, len(r.rooms))
	query := url.Values{}
	for _, room := range r.rooms {
		query.Add("room", room.name)
	}
	addr := l.server.parked
	if kindOf(i) == notParked {
		addr = l.server.unparked
	}
	r.url = l.over.Scheme() + "://" + addr + "/subscribe?" + query.Encode()
	return r
}

// read reads until the context ends.
func (r *reader) read(ctx context.Context) {
	for ctx.Err() == nil {
		r.retry = 100 * time.Millisecond
		left, err := r.visit(ctx)
		if err != nil && ctx.Err() == nil {
			r.load.faults.add("%s: %v", r.name, err)
		}
		away := r.retry
		if left {
			away = r.leave()
		}
		select {
		case <-time.After(away):
		case <-r.load.stay:
			pause(ctx, min(away, 2*time.Second))
		case <-ctx.Done():
		}
	}
}

// leave decides how long a departed reader is away, and whether it then resumes
// or starts over.
func (r *reader) leave() time.Duration {
	if rand.IntN(2) == 0 {
		r.mu.Lock()
		r.last = ""
		r.mu.Unlock()
		return between(0, r.load.away)
	}
	if rand.IntN(10) == 0 { // for longer than messages are kept, even if publishers are slow
		kept := float64(r.load.retain) / (r.load.rate / float64(len(r.load.rooms)))
		return time.Duration(2 * kept * float64(time.Second))
	}
	return between(0, r.load.away)
}

// visit reads one stream. It reports whether the reader left it.
func (r *reader) visit(all context.Context) (left bool, err error) {
	ctx, cancel := context.WithCancel(all)
	defer cancel()
	before := r.acked()
	response, err := r.open(ctx)
	if response == nil {
		return false, err
	}
	defer response.Body.Close()
	r.load.streams.Add(1)
	demanded := r.arrive(before)
	stays := make(chan struct{})
	if r.roams {
		go func() {
			defer close(stays)
			left = r.stay(ctx, cancel)
		}()
	} else {
		close(stays)
	}
	err = r.follow(response.Body, demanded)
	cancel()
	<-stays
	switch {
	case left || all.Err() != nil:
	case r.isCut():
		r.load.torn.Add(1)
	case err != nil:
		return false, fmt.Errorf("a stream broke: %w", err)
	default:
		r.load.ended.Add(1)
	}
	return left, nil
}

// acked returns the last acknowledged messages of its rooms.
func (r *reader) acked() []uint64 {
	all := make([]uint64, len(r.rooms))
	for i, room := range r.rooms {
		all[i] = room.acked.Load()
	}
	return all
}

// open opens a stream. Without an answer it returns neither a stream nor an error:
// the old configuration may have accepted the connection just before it stopped.
func (r *reader) open(ctx context.Context) (*http.Response, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.conn = got.Conn
	}})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.conn = nil
	if r.last != "" {
		request.Header.Set("Last-Event-ID", r.last)
	}
	r.mu.Unlock()
	response, err := r.browser.transport.RoundTrip(request)
	if err != nil {
		switch {
		case ctx.Err() != nil:
		case r.isCut():
			r.load.torn.Add(1)
		default:
			r.load.refused.Add(1)
			r.load.refusals.add("%s was not answered: %v", r.name, err)
		}
		return nil, nil
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("a stream got status %d", response.StatusCode)
	}
	return response, nil
}

// arrive records where a stream starts. It reports whether the reader must get a
// gap event.
func (r *reader) arrive(before []uint64) (demanded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != "" {
		r.load.resumed.Add(1)
	}
	for i, room := range r.rooms {
		if r.last == "" {
			r.places[i] = begin(before[i], room.sent.Load())
		} else if r.places[i].mustMiss(before[i], r.load.retain) {
			demanded = true
		}
	}
	return demanded
}

// stay stays for a while, then leaves and returns true. At the end it stays.
func (r *reader) stay(ctx context.Context, cancel context.CancelFunc) bool {
	select {
	case <-ctx.Done():
		return false
	case <-r.load.stay:
		return false
	case <-time.After(between(r.load.options.stay, 3*r.load.options.stay)):
	}
	const shared = 8 // of so many who leave a shared connection, one cuts it
	switch {
	case r.browser.shares && rand.IntN(shared) > 0:
		r.load.cancels.Add(1)
	case rand.IntN(2) == 0:
		r.load.resets.Add(1)
		r.cut(true)
	default:
		r.load.closes.Add(1)
		r.cut(false)
	}
	cancel()
	return true
}

// cut cuts the connection of the current stream.
func (r *reader) cut(reset bool) {
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	cut(conn, reset)
}

// isCut reports whether a reader has cut the connection of the last request.
func (r *reader) isCut() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn != nil && connectionOf(r.conn).isCut.Load()
}
