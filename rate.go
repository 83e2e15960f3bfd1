package ssechat

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/caddyserver/caddy/v2"
)

// limiters are the limiters in use, so that a reload that does not change a
// rate forgets nothing. Handlers of one hub with the same rate share one.
var limiters = caddy.NewUsagePool() // *limiter by limiterKey

// limiterKey is what makes handlers share a limiter.
type limiterKey struct {
	hub  string
	rate Rate
}

// shareLimiter returns the limiter of a hub for a rate. It must be given back
// with [unshareLimiter].
func shareLimiter(hub string, rate Rate) *limiter {
	shared, _ := limiters.LoadOrStore(limiterKey{hub, rate}, newLimiter(rate.Messages, time.Duration(rate.Window)))
	return shared.(*limiter)
}

func unshareLimiter(hub string, rate Rate) {
	_, _ = limiters.Delete(limiterKey{hub, rate}) // which can only fail to destroy what needs no destroying
}

// limiter limits how many messages each client may publish. A client may send
// all that a window allows at once, and earns it back evenly.
type limiter struct {
	burst  int
	every  rate.Limit
	window time.Duration

	mu      sync.Mutex // guards clients and swept
	clients map[string]*rate.Limiter
	swept   time.Time
}

// maxClients is how many clients a limiter knows at most.
const maxClients = 100_000

func newLimiter(messages int, window time.Duration) *limiter {
	return &limiter{
		burst:   messages,
		every:   rate.Limit(float64(messages) / window.Seconds()),
		window:  window,
		clients: make(map[string]*rate.Limiter),
	}
}

// take takes n messages from what a client may send now. If that is too much
// it takes none and returns how long to wait. The client is as [limitedClient]
// returns it; "" is not limited.
func (l *limiter) take(client string, n int, now time.Time) (wait time.Duration) {
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

// giveBack gives back n messages that take has taken.
func (l *limiter) giveBack(client string, n int, now time.Time) {
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
func (l *limiter) sweep(now time.Time) {
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
