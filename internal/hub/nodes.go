package hub

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/nodes"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// startNodes starts to exchange notices with the hub's instances on other nodes, if
// the store can relay them.
func (h *Hub) startNodes() {
	relay, ok := h.store.(store.Relay)
	if !ok {
		return
	}
	h.outbox.Start()
	s := &noticeSender{hub: h, relay: relay}
	go h.outbox.Run(s.send)
}

// Told implements [store.Peer].
func (h *Hub) Told(from string, data []byte) {
	var n nodes.Notice
	if json.Unmarshal(data, &n) != nil {
		return
	}
	if n.Kick != "" {
		h.kickHere(n.Kick)
	}
	if n.End != nil {
		h.endStreamsHere(n.End.Room)
	}
	if n.Hello {
		h.outbox.AddAll()
	}
	if n.Signal != nil {
		h.signalHere(n.Signal.Room, n.Signal.Signal)
	}
	if n.Ask != nil {
		h.outbox.TellNow(nodes.Notice{Answer: n.Ask.AnswerWith(h.standingHere(n.Ask.People))})
	}
	if n.Answer != nil {
		h.inquiries.Hear(from, n.Answer)
	}
	changed, ask := h.peers.Hear(from, &n)
	for _, name := range changed {
		if r := h.room(name); r != nil {
			h.updateElsewhere(r)
		}
	}
	if ask {
		h.outbox.Tell(nodes.Notice{Hello: true})
	}
}

// localReaders returns the room's readers on this node, as other nodes are told
// them.
func (r *room) localReaders() nodes.NoticeRoom {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	sum := r.presence.Summary()
	here := nodes.NoticeRoom{Room: r.name, Count: sum.Count, Unnamed: sum.Unnamed, Names: r.presence.LocalNames()}
	for key, named := range r.presence.Known() {
		here.People = append(here.People, nodes.EncodePerson(key, named))
	}
	return here
}

// updateElsewhere updates a room's readers on other nodes.
func (h *Hub) updateElsewhere(r *room) {
	r.seatMu.Lock()
	// under the room's lock, so that an older result does not overwrite a newer one
	r.presence.SetElsewhere(h.peers.In(r.name, time.Now()))
	r.seatMu.Unlock()
	h.toAnnounce.add(r)
}

// expirePeers forgets peers that have been silent for too long, and their readers.
func (h *Hub) expirePeers() {
	for _, name := range h.peers.Expire(time.Now()) {
		if r := h.room(name); r != nil {
			h.updateElsewhere(r)
		}
	}
}

// Settling is how long nobody counts as away after the hub was opened or another node has
// gone, because pages take up to ten seconds to reconnect.
const Settling = 15 * time.Second

// settling is Settling but for tests.
var settling atomic.Int64

func init() { settling.Store(int64(Settling)) }

// SettleIn changes [Settling] until undo is called. It is for tests. No configuration can reach
// it.
func SettleIn(d time.Duration) (undo func()) {
	was := settling.Swap(int64(d))
	return func() { settling.Store(was) }
}

// isSettling reports whether people may be about to come back.
func (h *Hub) isSettling(now time.Time) bool {
	limit := time.Duration(settling.Load())
	return now.Sub(h.opened) < limit || now.Sub(h.peers.Lost(now)) < limit
}

// standingHere returns which of some people have streams on this node.
func (h *Hub) standingHere(people []string) map[string]presence.Standing {
	now := h.wheel.Elapsed()
	h.clientMu.Lock()
	defer h.clientMu.Unlock()
	standing := make(map[string]presence.Standing)
	for _, person := range people {
		if s := h.people.Standing(person, now); s != presence.Away {
			standing[person] = s
		}
	}
	return standing
}

// Standings returns which of some people have streams, here or on other nodes, in any room;
// those who are away are not in it. It asks the other nodes now, and waits for their answers at
// most [nodes.AnswerLimit]. While a node does not answer and is not yet forgotten, people
// without a stream count as [presence.Left]. The same holds for [Settling] after the hub was
// opened or another node has gone.
func (h *Hub) Standings(ctx context.Context, people []string) map[string]presence.Standing {
	standing := h.standingHere(people)
	var others []string
	for _, person := range people {
		if standing[person] != presence.Here {
			others = append(others, person)
		}
	}
	slices.Sort(others)
	others = slices.Compact(others) // people has one entry for each device
	if peers := h.peers.Alive(time.Now()); len(peers) > 0 && len(others) > 0 {
		for person, there := range h.inquiries.Ask(ctx, peers, others, h.outbox.TellNow) {
			standing[person] = max(standing[person], there)
		}
	}
	if h.isSettling(time.Now()) {
		for _, person := range others {
			standing[person] = max(standing[person], presence.Left)
		}
	}
	return standing
}

// expirePeople forgets those who have left.
func (h *Hub) expirePeople(now int64) {
	h.clientMu.Lock()
	defer h.clientMu.Unlock()
	h.people.Expire(now)
}

const (
	// noticeBytes is the approximate size limit of a notice.
	noticeBytes = 64 << 10
)

// noticeSender sends notices. One goroutine uses it, and holds no lock while it
// sends.
type noticeSender struct {
	hub   *Hub
	relay store.Relay
	sent  uint64 // number of the last numbered notice
}

// send sends a parcel, with what others wait for first. After an error the parcel
// has what was not sent.
func (s *noticeSender) send(p *nodes.Parcel) (err error) {
	defer func() {
		if err != nil {
			s.sent++ // so that peers notice that a notice is missing
		}
	}()
	for ; len(p.Commands) > 0; p.Commands = p.Commands[1:] {
		if time.Now().After(p.Commands[0].Until) {
			continue
		}
		if err := s.tell(p.Commands[0].Notice); err != nil {
			return err
		}
	}
	for ; len(p.Signals) > 0; p.Signals = p.Signals[1:] {
		if err := s.tell(p.Signals[0]); err != nil {
			return err
		}
	}
	if p.Bye {
		return s.tell(nodes.Notice{Bye: true})
	}
	if p.Hello {
		if err := s.tell(nodes.Notice{Hello: true}); err != nil {
			return err
		}
		p.Hello = false
	}
	if p.All {
		p.Rooms = s.hub.roomNames()
	}
	if p.All || len(p.Rooms) > 0 {
		return s.tellRooms(p.Rooms, p.All)
	}
	if p.Alive {
		return s.tell(nodes.Notice{})
	}
	return nil
}

// tellRooms sends the current readers of rooms. A room that does not exist has
// none.
func (s *noticeSender) tellRooms(names map[string]struct{}, all bool) error {
	n, size := nodes.Notice{All: all}, 0
	for name := range names {
		here := nodes.NoticeRoom{Room: name}
		if r := s.hub.room(name); r != nil {
			here = r.localReaders()
		}
		n.Rooms = append(n.Rooms, here)
		if size += here.Size(); size > noticeBytes {
			if err := s.tell(n); err != nil {
				return err
			}
			n, size = nodes.Notice{}, 0
		}
	}
	if n.All || n.Rooms != nil {
		return s.tell(n)
	}
	return nil
}

// tell numbers a notice and sends it.
func (s *noticeSender) tell(n nodes.Notice) error {
	if n.Numbered() {
		s.sent++
	}
	n.Number = s.sent
	data, err := json.Marshal(n)
	if err != nil {
		return nil //nolint:nilerr // cannot happen, and would fail again
	}
	return s.relay.Tell(data)
}
