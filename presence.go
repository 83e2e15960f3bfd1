package ssechat

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// presenceEvery is how long a stream is told nothing more of who is in a
	// room, once it was.
	presenceEvery = 10 // ticks
	// leaveAfter is how long a reader counts who has left, so that one who
	// comes straight back is no change.
	leaveAfter = 50 // ticks
	// maxNames is how many names of a room are told.
	maxNames = 100
)

// presence is who reads a room, or did a moment ago. The room's seatMu guards
// it, but for version.
type presence struct {
	version atomic.Uint32 // changes with what there is to tell
	count   int           // of readers here
	names   []nameCount   // of readers here, sorted
	others  readers       // at other nodes
	// Those who left and still count, by name, and how many of them came back
	// as it were, because one of their name did.
	leaving, returned map[string]int

	frame        []byte // the event, as of frameVersion
	frameVersion uint32
}

// nameCount is how many streams a name has.
type nameCount struct {
	name  string
	count int
}

func (p *presence) arrive(name string) {
	if p.leaving[name] > 0 {
		bump(&p.leaving, name, -1)
		bump(&p.returned, name, 1)
		return
	}
	p.add(name, 1)
}

// leave is called when a stream ends, depart when that has become true.
func (p *presence) leave(name string) { bump(&p.leaving, name, 1) }

func (p *presence) depart(name string) {
	if p.returned[name] > 0 {
		bump(&p.returned, name, -1)
		return
	}
	bump(&p.leaving, name, -1)
	p.add(name, -1)
}

func bump(counts *map[string]int, name string, by int) {
	if *counts == nil {
		*counts = make(map[string]int)
	}
	if (*counts)[name] += by; (*counts)[name] == 0 {
		delete(*counts, name)
	}
}

func (p *presence) add(name string, by int) {
	p.count += by
	p.version.Add(1)
	if name == "" {
		return
	}
	i, found := slices.BinarySearchFunc(p.names, name, func(n nameCount, name string) int {
		return strings.Compare(n.name, name)
	})
	if !found {
		p.names = slices.Insert(p.names, i, nameCount{name: name})
	}
	if p.names[i].count += by; p.names[i].count == 0 {
		p.names = slices.Delete(p.names, i, i+1)
	}
}

// setOthers sets who reads the room elsewhere.
func (p *presence) setOthers(others readers) {
	if others.count != p.others.count || !slices.Equal(others.names, p.others.names) {
		p.others = others
		p.version.Add(1)
	}
}

// allNames returns the names of readers here and elsewhere, sorted.
func (p *presence) allNames() []string {
	names := make([]string, 0, len(p.names)+len(p.others.names))
	for _, n := range p.names {
		names = append(names, n.name)
	}
	if len(p.others.names) > 0 {
		names = append(names, p.others.names...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	return names[:min(len(names), maxNames)]
}

// event returns the event that tells of the presence, made once for all.
func (p *presence) event(room string) (frame []byte, version uint32) {
	if version = p.version.Load(); p.frame == nil || p.frameVersion != version {
		p.frame = appendPresence(nil, room, p.count+p.others.count, p.allNames())
		p.frameVersion = version
	}
	return p.frame, version
}

// tellPresence wakes the watchers who have not heard the latest for a while.
// It reports whether some are left to be woken later.
func (r *room) tellPresence(now int64) (more bool) {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	version := r.presence.version.Load()
	for _, s := range r.watchers {
		if s.told.presence.Load() == version {
			continue
		}
		more = true
		if s.told.presenceDue(now) {
			s.sub.signal()
		}
	}
	return more
}

// tellPresence returns the event for one who now hears the latest.
func (s *seat) tellPresence(now int64) []byte {
	s.room.seatMu.Lock()
	defer s.room.seatMu.Unlock()
	frame, version := s.room.presence.event(s.room.name)
	s.told.presence.Store(version)
	s.told.presenceAt.Store(now)
	return frame
}

func (t *told) presenceDue(now int64) bool {
	return t.presence.Load() == 0 || now-t.presenceAt.Load() >= presenceEvery
}

// departures are the streams that ended a moment ago, the first in front. All
// wait equally long.
type departures struct {
	mu    sync.Mutex
	queue []departure
}

type departure struct {
	at    int64 // in ticks
	name  string
	seats []seat
}

func (d *departures) add(e departure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, e)
}

// due takes those who left before now.
func (d *departures) due(now int64) []departure {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for n < len(d.queue) && d.queue[n].at <= now {
		n++
	}
	due := d.queue[:n:n]
	if d.queue = d.queue[n:]; len(d.queue) == 0 {
		d.queue = nil
	}
	return due
}

// deletions are the messages that a room has lost by moderation lately, for
// those who may be showing them.
type deletions struct {
	mu    sync.Mutex
	total atomic.Int64
	ids   []store.ID // the newest
}

const maxDeletions = 256

func (d *deletions) add(id store.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total.Add(1)
	if len(d.ids) == maxDeletions {
		d.ids = slices.Clone(d.ids[1:])
	}
	d.ids = append(d.ids, id)
}

// since returns those after the first n, and how many there were.
func (d *deletions) since(n int64) ([]store.ID, int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := d.total.Load()
	return d.ids[max(0, int64(len(d.ids))-(total-n)):], total
}
