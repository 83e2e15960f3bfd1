package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/nodes"
	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

const (
	// maxSignals is how many signals of a room wait for its readers.
	maxSignals = 32
	// signalLife is how long a signal is worth sending.
	signalLife = 3 * time.Second
)

// signals are a room's newest signals, which are stored nowhere. Its methods are safe for
// concurrent use.
type signals struct {
	total  atomic.Int64 // how many there were
	mu     sync.Mutex   // guards newest
	newest []signal     // at most maxSignals, oldest first
}

type signal struct {
	at    time.Time
	event []byte
}

func (s *signals) add(event []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.newest) == maxSignals {
		s.newest = append(s.newest[:0:0], s.newest[1:]...)
	}
	s.newest = append(s.newest, signal{time.Now(), event})
	s.total.Add(1)
}

// after appends the signals after the first n that are still worth sending, and returns
// how many there were.
func (s *signals) after(dst []byte, n int64) ([]byte, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.total.Load()
	missed := min(total-n, int64(len(s.newest)))
	for _, signal := range s.newest[int64(len(s.newest))-missed:] {
		if time.Since(signal.at) < signalLife {
			dst = append(dst, signal.event...)
		}
	}
	return dst, total
}

// appendSignals appends the signals that the seat's reader has not seen.
func (s *seat) appendSignals(dst []byte) []byte {
	if s.room.signals.total.Load() != s.seen.signals {
		dst, s.seen.signals = s.room.signals.after(dst, s.seen.signals)
	}
	return dst
}

// Signal passes a signal on to those who read a room with named events now, on all nodes.
// Nothing of it is stored.
func (h *Hub) Signal(room string, s wire.Signal) {
	h.signalHere(room, s)
	if h.peers.In(room, time.Now()) != nil {
		h.outbox.TellNow(nodes.Notice{Signal: &nodes.NoticeSignal{Room: room, Signal: s}})
	}
}

func (h *Hub) signalHere(name string, s wire.Signal) {
	r := h.room(name)
	if r == nil || !r.watched() {
		return
	}
	r.signals.add(wire.AppendSignal(nil, name, s))
	h.toTell.add(r)
	wake.Up(h.wake)
}

// watched reports whether the room has readers with named events.
func (r *room) watched() bool {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return len(r.watchers) > 0
}
