package jetstream

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// maxNotices is how many notices may be queued. Hubs ask for what they have missed.
const maxNotices = 256

var errManyNotices = errors.New("too many notices are queued")

// Tell implements [store.Relay].
func (s *Store) Tell(notice []byte) error {
	select {
	case s.notices <- notice:
		return nil
	default:
		return errManyNotices
	}
}

// tell sends queued notices until the store is closed, and then those that are left.
// While NATS is not connected, notices are dropped.
func (s *Store) tell() {
	defer close(s.silent)
	send := func(notice []byte) {
		if !s.away.Load() {
			_ = s.nc.Publish(s.subjects.relay(s.node), notice)
		}
	}
	for {
		select {
		case notice := <-s.notices:
			send(notice)
			continue
		case <-s.ctx.Done():
		}
		for {
			select {
			case notice := <-s.notices:
				send(notice)
			default:
				return
			}
		}
	}
}

// listen passes the notices of other nodes on to the hub.
func (s *Store) listen() error {
	peer, ok := s.hub.(store.Peer)
	if !ok {
		return nil
	}
	_, err := s.nc.Subscribe(s.subjects.relay("*"), func(m *nats.Msg) {
		if from := s.subjects.nodeOf(m.Subject); from != s.node {
			peer.Told(from, m.Data)
		}
	})
	return err
}
