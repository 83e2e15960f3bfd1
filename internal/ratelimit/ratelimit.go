// Package ratelimit limits how many messages each client may publish.
package ratelimit

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter limits how many messages each client may publish. A client may send
// all that a window allows at once, and earns it back evenly.
type Limiter struct {
	burst  int
	every  rate.Limit
	window time.Duration

	mu      sync.Mutex // guards clients and swept
	clients map[string]*rate.Limiter
	swept   time.Time
}

// maxClients is how many clients a limiter knows at most.
const maxClients = 100_000

func New(messages int, window time.Duration) *Limiter {
	return &Limiter{
		burst:   messages,
		every:   rate.Limit(float64(messages) / window.Seconds()),
		window:  window,
		clients: make(map[string]*rate.Limiter),
	}
}

// Take takes n messages from what a client may send now. If that is too much
// it takes none and returns how long to wait. The client is as [Client]
// returns it; "" is not limited.
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
	if n > l.burst { // can never be sent in one request
		return l.window
	}
	reservation := c.ReserveN(now, n)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// GiveBack gives back n messages that take has taken.
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

// sweep forgets clients who have earned everything back, because a new one
// would be as well off.
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
	// more clients than memory is meant for: forget many at a time, whichever,
	// so that few requests pay for it
	for client := range l.clients {
		if delete(l.clients, client); len(l.clients) <= maxClients*9/10 {
			return
		}
	}
}

// Client returns who counts as one client for limits per client, given
// a client's IP. An IPv6 client is its /64, because any host gets one to choose
// its addresses from. It returns "" for what is no address, such as the peer of
// a Unix socket: those are not counted, because nothing tells them apart.
func Client(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(64) // which drops the zone
	return network.String()
}
