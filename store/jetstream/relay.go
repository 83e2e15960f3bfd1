package jetstream

import (
	"github.com/nats-io/nats.go"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Tell implements [store.Relay].
func (s *Store) Tell(notice []byte) error {
	return s.nc.Publish(s.subjects.relay(s.node), notice)
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
