// Package ratelimit limits how many messages each client may publish.
package ratelimit

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter is a token bucket per client: a client may publish all messages of a
// window at once, and earns them back evenly. Its methods are safe for concurrent
// use.
type Limiter struct {
	burst  int
	every  rate.Limit
	window time.Duration

	mu      sync.Mutex // guards clients and swept
	clients map[string]*rate.Limiter
	swept   time.Time
}

// maxClients is how many clients a limiter remembers at most.
const maxClients = 100_000

// New returns a limiter that allows so many messages in a window. Both must be
// positive.
func New(messages int, window time.Duration) *Limiter {
	return &Limiter{
		burst:   messages,
		every:   rate.Limit(float64(messages) / window.Seconds()),
		window:  window,
		clients: make(map[string]*rate.Limiter),
	}
}

// Take takes n messages from what a client may publish now, and returns 0. If that
// is too many it takes none and returns how long to wait. client is a result of
// [Client]; "" is not limited.
func (l *Limiter) Take(client string, n int, now time.Time) (wait time.Duration) {
	if client == "" {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	c := l.clients[client]
	if c == nil {
		c = rate.NewLimiter(l.every, l.burst)
		l.clients[client] = c
	}
	if n > l.burst { // can never be published in one request
		return l.window
	}
	reservation := c.ReserveN(now, n)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// GiveBack returns n messages that Take took, to be used again.
func (l *Limiter) GiveBack(client string, n int, now time.Time) {
	if n == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.clients[client]; c != nil {
		c.ReserveN(now, -n) // a reservation cannot be cancelled once its time has come
	}
}

// sweep forgets clients that have earned everything back, because a new client
// would be as well off. The caller holds mu.
func (l *Limiter) sweep(now time.Time) {
	if now.Sub(l.swept) >= l.window {
		l.swept = now
		for client, c := range l.clients {
			if c.TokensAt(now) >= float64(l.burst) {
				delete(l.clients, client)
			}
		}
	}
	if len(l.clients) < maxClients {
		return
	}
	// too many clients: forget a tenth of them, whichever, so that few requests pay
	// for this loop
	for client := range l.clients {
		if delete(l.clients, client); len(l.clients) <= maxClients*9/10 {
			return
		}
	}
}

// Client returns the key under which an IP counts as one client. An IPv6 client is
// its /64, because a host may choose any address in it. Client returns "" for what
// is not an address, such as the peer of a Unix socket: nothing tells those apart,
// so they are not limited.
func Client(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(64) // drops the zone
	return network.String()
}
