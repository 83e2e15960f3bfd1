package hub

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/nodes"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// ErrKicked is returned to a reader whose name was kicked less than [KickedFor]
// ago.
var ErrKicked = errors.New("kicked")

// Delete deletes a message from the store, the rings and the pages that show it.
// The error is [store.ErrNotFound] if there is none, or another one of the store.
func (h *Hub) Delete(ctx context.Context, id store.ID) error {
	err := h.store.Delete(ctx, id)
	h.health.Record(err)
	return err
}

// Forget deletes all messages of a room. The error is that of the store.
func (h *Hub) Forget(ctx context.Context, room string) error {
	err := h.store.Forget(ctx, room)
	h.health.Record(err)
	return err
}

// Kick ends all streams of a name on all nodes and keeps the name out for
// [KickedFor]. Other nodes are notified asynchronously.
func (h *Hub) Kick(name string) {
	h.kickHere(name)
	h.outbox.Tell(nodes.Notice{Kick: name})
}

func (h *Hub) kickHere(name string) {
	h.kicks.Add(name, time.Now()) // before the streams end, so that none comes back in between
	h.wheel.Each(func(s *Subscriber) {
		if s.Name == name {
			s.End(EndKicked)
		}
	})
}

// EndStreams ends the streams of a room, or of the whole hub if room is "", on all
// nodes. They end as on a reload, so that clients reconnect at once to the
// configuration in force.
func (h *Hub) EndStreams(room string) {
	h.endStreamsHere(room)
	h.outbox.Tell(nodes.Notice{End: &nodes.NoticeEnd{Room: room}})
}

func (h *Hub) endStreamsHere(room string) {
	h.wheel.Each(func(s *Subscriber) {
		if room == "" || s.reads(room) {
			s.End(EndReload)
		}
	})
}

// reads reports whether the subscriber reads a room.
func (s *Subscriber) reads(room string) bool {
	for i := range s.seats {
		if s.seats[i].room.name == room {
			return true
		}
	}
	return false
}

// IsKicked reports whether a name is kept out now.
func (h *Hub) IsKicked(name string) bool { return h.kicks.Has(name) }

// RoomStatus is a room as the admin API shows it.
type RoomStatus struct {
	Name string `json:"name"`
	// Messages is how many messages the store holds; nil if the store cannot list
	// rooms.
	Messages    *int `json:"messages,omitempty"`
	Subscribers int  `json:"subscribers"`
	// Names are the names of the readers on this node, at most [presence.MaxNames].
	Names []string `json:"names,omitempty"`
}

// ListRooms returns the rooms that have readers on this node or messages, sorted by
// name. The error is that of the store.
func (h *Hub) ListRooms(ctx context.Context) ([]RoomStatus, error) {
	var messages map[string]int
	if lister, ok := h.store.(store.Lister); ok {
		var err error
		if messages, err = lister.Rooms(ctx); err != nil {
			return nil, err
		}
	}
	rooms := make(map[string]RoomStatus, len(messages))
	for name := range messages {
		rooms[name] = RoomStatus{}
	}
	h.mu.RLock()
	for name, r := range h.rooms {
		if status := r.status(); status.Subscribers > 0 {
			rooms[name] = status
		}
	}
	h.mu.RUnlock()
	list := make([]RoomStatus, 0, len(rooms))
	for name, status := range rooms {
		status.Name = name
		if messages != nil {
			n := messages[name]
			status.Messages = &n
		}
		list = append(list, status)
	}
	slices.SortFunc(list, func(a, b RoomStatus) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (r *room) status() RoomStatus {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return RoomStatus{Subscribers: len(r.readers), Names: r.presence.LocalNames()}
}
