package ssechat

import (
	"encoding/json"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// noticeBytes is about how long a notice may be.
	noticeBytes = 64 << 10
	// retryNotices is when what could not be sent is tried again.
	retryNotices = time.Second
)

// sendNotices sends what is in the outbox until the hub closes.
func (b *broker) sendNotices(relay store.Relay) {
	o := &b.outbox
	defer close(o.ended)
	s := &noticeSender{b: b, relay: relay}
	var retry <-chan time.Time
	for {
		select {
		case <-o.wake:
		case <-retry:
		}
		retry = nil
		for p, some := o.take(); some; p, some = o.take() {
			err := s.send(&p)
			if p.bye {
				return
			}
			if err != nil {
				s.sent++ // so that peers notice what they have missed
				o.putBack(p)
				retry = time.After(retryNotices)
				break
			}
		}
	}
}

// noticeSender is used by one goroutine, which holds no lock while it sends.
type noticeSender struct {
	b     *broker
	relay store.Relay
	sent  uint64 // numbered notices
}

// send sends a parcel, first what somebody waits for. After an error, what is
// left of the parcel was not sent.
func (s *noticeSender) send(p *parcel) error {
	for ; len(p.orders) > 0; p.orders = p.orders[1:] {
		if time.Now().After(p.orders[0].until) {
			continue
		}
		if err := s.tell(p.orders[0].notice); err != nil {
			return err
		}
	}
	if p.bye {
		return s.tell(notice{Bye: true})
	}
	if p.hello {
		if err := s.tell(notice{Hello: true}); err != nil {
			return err
		}
		p.hello = false
	}
	if p.all {
		p.rooms = s.b.roomNames()
	}
	if p.all || len(p.rooms) > 0 {
		return s.tellRooms(p.rooms, p.all)
	}
	if p.alive {
		return s.tell(notice{})
	}
	return nil
}

// tellRooms tells who reads rooms now; a room that is not there has no readers.
func (s *noticeSender) tellRooms(names map[string]struct{}, all bool) error {
	n, size := notice{All: all}, 0
	for name := range names {
		here := noticeRoom{Room: name}
		if r := s.b.room(name); r != nil {
			here = r.here()
		}
		n.Rooms = append(n.Rooms, here)
		if size += here.size(); size > noticeBytes {
			if err := s.tell(n); err != nil {
				return err
			}
			n, size = notice{}, 0
		}
	}
	if n.All || n.Rooms != nil {
		return s.tell(n)
	}
	return nil
}

func (s *noticeSender) tell(n notice) error {
	if n.numbered() {
		s.sent++
	}
	n.Number = s.sent
	data, err := json.Marshal(n)
	if err != nil {
		return nil //nolint:nilerr // cannot be, and would fail again
	}
	return s.relay.Tell(data)
}

// roomNames returns the names of all rooms of the hub.
func (b *broker) roomNames() map[string]struct{} {
	b.mu.RLock()
	defer b.mu.RUnlock()
	names := make(map[string]struct{}, len(b.rooms))
	for name := range b.rooms {
		names[name] = struct{}{}
	}
	return names
}
