package jetstream

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// maxNotices is how many notices may wait to be told. A hub that misses one asks
// for what it lacks.
const maxNotices = 256

var errManyNotices = errors.New("too many notices wait to be told")

// Tell implements [store.Relay].
func (s *Store) Tell(notice []byte) error {
	select {
	case s.notices <- notice:
		return nil
	default:
		return errManyNotices
	}
}

// tell sends notices until the store is closed, and then those that still wait.
// Those that cannot be sent now are lost.
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

// listen hands what other nodes tell over to the hub.
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
