package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// reader reads some rooms, and reconnects whenever its stream ends.
type reader struct {
	load   *load
	name   string
	addr   string
	query  string
	rooms  []*room
	client *http.Client
	roams  bool          // whether it connects and disconnects
	retry  time.Duration // from the server

	mu     sync.Mutex // guards all below
	places []place
	last   string   // id
	conn   net.Conn // over HTTP/1.1
}

// newReader returns a reader. Of ten readers, eight are parked, one is not, and
// one shares a connection over HTTP/2. Every fifth reads two rooms.
func (l *load) newReader(i int, shared *http.Transport) *reader {
	r := &reader{load: l, name: fmt.Sprintf("reader %d", i), addr: l.server.parked, roams: i%4 == 3}
	r.rooms = []*room{l.rooms[i%len(l.rooms)]}
	if next := l.rooms[(i+1)%len(l.rooms)]; i/len(l.rooms)%5 == 0 && next != r.rooms[0] {
		r.rooms = append(r.rooms, next)
	}
	r.places = make([]place, len(r.rooms))
	query := url.Values{}
	for _, room := range r.rooms {
		query.Add("room", room.name)
	}
	r.query = query.Encode()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: r.dial}
	switch i / 4 % 10 {
	case 0:
		transport = shared
	case 1:
		r.addr = l.server.unparked
	}
	r.client = &http.Client{Transport: transport}
	return r
}

func (r *reader) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = conn
	return conn, err
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
	if rand.IntN(20) == 0 { // for longer than messages are kept
		kept := float64(r.load.retain) / (r.load.rate / float64(len(r.load.rooms)))
		return time.Duration(1.2 * kept * float64(time.Second))
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
	if !left && all.Err() == nil {
		r.load.ended.Add(1)
	}
	return left, err
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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+"/subscribe?"+r.query, nil)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.last != "" {
		request.Header.Set("Last-Event-ID", r.last)
	}
	r.mu.Unlock()
	response, err := r.client.Do(request)
	if err != nil {
		if ctx.Err() == nil {
			r.load.refused.Add(1)
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
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	if tcp, ok := conn.(*net.TCPConn); ok && rand.IntN(2) == 0 {
		_ = tcp.SetLinger(0)
		r.load.resets.Add(1)
	} else {
		r.load.closes.Add(1)
	}
	if conn != nil {
		conn.Close()
	}
	cancel()
	return true
}
