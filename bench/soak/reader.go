package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// reader reads some rooms, and comes back whenever its stream ends.
type reader struct {
	load   *load
	name   string
	addr   string
	query  string
	rooms  []*room
	client *http.Client
	roams  bool          // whether it comes and goes
	retry  time.Duration // that it was told

	mu     sync.Mutex // guards all below
	places []place
	last   string   // id
	conn   net.Conn // over HTTP/1.1
}

// newReader returns a reader: of ten, eight are parked, one is not, and one
// shares a connection over HTTP/2. Every fifth reads two rooms.
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

// leave decides for how long one who has left is away, and whether it then
// resumes or begins anew.
func (r *reader) leave() time.Duration {
	if rand.IntN(2) == 0 {
		r.mu.Lock()
		r.last = ""
		r.mu.Unlock()
		return between(0, r.load.away)
	}
	if rand.IntN(20) == 0 { // for longer than its messages are kept
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

// acked returns what has been answered to the publishers of its rooms.
func (r *reader) acked() []uint64 {
	all := make([]uint64, len(r.rooms))
	for i, room := range r.rooms {
		all[i] = room.acked.Load()
	}
	return all
}

// open opens a stream. There is none, and no error, if no answer came: a
// connection may be the last one that the old configuration took.
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
		return nil, fmt.Errorf("a stream was answered %d", response.StatusCode)
	}
	return response, nil
}

// arrive notes where a stream begins. It reports whether the reader must be
// told that it has missed something.
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

// stay stays for a while, leaves, and reports that. At the end it stays.
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

// event is one of a stream.
type event struct{ id, name, data string }

// follow reads the events of a stream until it ends, and says what is wrong
// with them.
func (r *reader) follow(body io.Reader, demanded bool) error {
	var e event
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 2<<10), 64<<10)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "retry":
			ms, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("retry: %w", err)
			}
			// who comes back later sees less
			r.retry = min(time.Duration(ms)*time.Millisecond, 2*time.Second)
		case "":
			if lines.Text() != "" {
				continue // a comment
			}
			if err := r.take(e, &demanded); err != nil {
				r.load.faults.add("%s: %v", r.name, err)
			}
			e = event{}
		}
	}
	return nil // how it ended does not matter
}

// take takes an event.
func (r *reader) take(e event, demanded *bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.name == "gap" {
		*demanded = false
		return r.takeGap(e.data)
	}
	var m struct{ ID, Room, Text string }
	if err := json.Unmarshal([]byte(e.data), &m); err != nil || m.ID != e.id || e.name != "" {
		return fmt.Errorf("%+v is no message: %w", e, err)
	}
	if *demanded {
		*demanded = false
		return fmt.Errorf("no gap was told before %s", e.id)
	}
	r.load.delivered.Add(1)
	if !after(e.id, r.last) {
		return fmt.Errorf("the id %s came after %s", e.id, r.last)
	}
	r.last = e.id
	number, _, _ := strings.Cut(m.Text, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return fmt.Errorf("text %q: %w", m.Text, err)
	}
	for i, room := range r.rooms {
		if room.name != m.Room {
			continue
		}
		if err := r.places[i].take(n, room.sent.Load(), r.load.retain); err != nil {
			return fmt.Errorf("%s: %w", m.Room, err)
		}
		return nil
	}
	return fmt.Errorf("a message of %q, which it does not read", m.Room)
}

// takeGap takes the event that says that messages are missing.
func (r *reader) takeGap(data string) error {
	r.load.gaps.Add(1)
	explained := false
	for i, room := range r.rooms {
		if r.places[i].mayMiss(room.sent.Load(), r.load.retain) {
			explained, r.places[i].cut = true, true
		}
	}
	if !explained {
		return fmt.Errorf("a gap that retention does not explain: %s", data)
	}
	return nil
}

// owed returns how many messages have not come.
func (r *reader) owed() (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, room := range r.rooms {
		n += r.places[i].owed(room.acked.Load(), r.load.retain)
	}
	return n
}

// after reports whether an id is newer than another.
func after(id, than string) bool {
	if than == "" {
		return true
	}
	a, b := parseID(id), parseID(than)
	return a[0] > b[0] || a[0] == b[0] && a[1] > b[1]
}

func parseID(id string) [2]uint64 {
	ms, n, _ := strings.Cut(id, "-")
	var parts [2]uint64
	parts[0], _ = strconv.ParseUint(ms, 10, 64)
	parts[1], _ = strconv.ParseUint(n, 10, 64)
	return parts
}
