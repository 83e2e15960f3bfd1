package ssechat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// errKicked is returned to a reader whose name was kicked less than [kickedFor]
// ago.
var errKicked = errors.New("kicked")

// kickedFor is how long a name that was kicked is kept out.
const kickedFor = time.Minute

// delete removes a message for good. The error is [store.ErrNotFound] if there
// is none.
func (b *broker) delete(ctx context.Context, id store.ID) error {
	err := b.store.Delete(ctx, id)
	b.health.wrote(err)
	return err
}

// forget removes all messages of a room.
func (b *broker) forget(ctx context.Context, room string) error {
	err := b.store.Forget(ctx, room)
	b.health.wrote(err)
	return err
}

// kick ends all streams of a name, at all nodes, and keeps it out for a while.
func (b *broker) kick(name string) {
	b.kickHere(name)
	b.tell(notice{Kick: name})
}

func (b *broker) kickHere(name string) {
	b.kicks.add(name, time.Now()) // first, so that none slips in
	b.wheel.each(func(s *subscriber) {
		if s.name == name {
			s.end(endKicked)
		}
	})
}

// endStreams ends the streams of a room, or all of the hub if that is "", at all
// nodes. They end as on a reload, so that all come back, under the configuration
// that is in force now.
func (b *broker) endStreams(room string) {
	b.endStreamsHere(room)
	b.tell(notice{End: &noticeEnd{room}})
}

func (b *broker) endStreamsHere(room string) {
	b.wheel.each(func(s *subscriber) {
		if room == "" || s.reads(room) {
			s.end(endReload)
		}
	})
}

// reads reports whether the subscriber has a seat in a room.
func (s *subscriber) reads(room string) bool {
	for i := range s.seats {
		if s.seats[i].room.name == room {
			return true
		}
	}
	return false
}

// kicks are the names that were kicked lately.
type kicks struct {
	some  atomic.Bool // spares the lock as long as there are none
	mu    sync.Mutex  // guards until
	until map[string]time.Time
}

func (k *kicks) add(name string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil {
		k.until = make(map[string]time.Time)
	}
	k.sweep(now)
	k.until[name] = now.Add(kickedFor)
	k.some.Store(true)
}

// holds reports whether a name is kept out now.
func (k *kicks) holds(name string) bool {
	if name == "" || !k.some.Load() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweep(time.Now())
	_, held := k.until[name]
	return held
}

func (k *kicks) sweep(now time.Time) {
	for name, until := range k.until {
		if !now.Before(until) {
			delete(k.until, name)
		}
	}
	k.some.Store(len(k.until) > 0)
}

// roomStatus is what operators see of a room.
type roomStatus struct {
	Name string `json:"name"`
	// Messages is how many the store holds; missing if it cannot tell.
	Messages    *int `json:"messages,omitempty"`
	Subscribers int  `json:"subscribers"`
	// Names are the readers' names, at most [maxNames].
	Names []string `json:"names,omitempty"`
}

// listRooms returns the rooms that have readers or messages, by name.
func (b *broker) listRooms(ctx context.Context) ([]roomStatus, error) {
	var messages map[string]int
	if lister, ok := b.store.(store.Lister); ok {
		var err error
		if messages, err = lister.Rooms(ctx); err != nil {
			return nil, err
		}
	}
	rooms := make(map[string]roomStatus, len(messages))
	for name := range messages {
		rooms[name] = roomStatus{}
	}
	b.mu.RLock()
	for name, r := range b.rooms {
		if status := r.status(); status.Subscribers > 0 {
			rooms[name] = status
		}
	}
	b.mu.RUnlock()
	list := make([]roomStatus, 0, len(rooms))
	for name, status := range rooms {
		status.Name = name
		if messages != nil {
			n := messages[name]
			status.Messages = &n
		}
		list = append(list, status)
	}
	slices.SortFunc(list, func(a, b roomStatus) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (r *room) status() roomStatus {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return roomStatus{Subscribers: len(r.readers), Names: r.presence.localNames()}
}
