package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// event is an event of a stream.
type event struct{ id, name, data string }

// follow reads the events of a stream until it ends. It returns an error if the
// stream was not ended, but broke.
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
				r.load.faults.add("%s: retry: %v", r.name, err)
				continue
			}
			// a reader that comes back later sees less
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
	return lines.Err()
}

// take handles an event.
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
		return fmt.Errorf("no gap was reported before %s", e.id)
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

// takeGap handles a gap event.
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

// owed returns the number of missing messages.
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
