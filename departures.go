package ssechat

import "sync"

// departures are the rooms that somebody has left a moment ago, the first in
// front. All wait equally long. Its methods may be called at any time.
type departures struct {
	mu    sync.Mutex // guards queue
	queue []departure
}

type departure struct {
	at   int64 // when to look who has gone, in ticks
	room *room
}

// add notes that somebody has left a room at a time.
func (d *departures) add(r *room, now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, departure{now + leaveAfter, r})
}

// due takes out the rooms whose time has come.
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
