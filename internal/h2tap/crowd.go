package h2tap

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// undisturbed is how many servers of an address may have lingering connections
	// before those of the oldest are hurried.
	undisturbed = 2
	// hurry is the longest that a hurried connection goes on as before.
	hurry = 5 * time.Second
)

// crowds are the lingering connections of each local address, by server. Each
// browser may have one of each server, and opens no new connection once it has six.
// So if servers are replaced in quick succession, the connections of the older ones
// have to end sooner.
var crowds = struct {
	sync.Mutex
	at map[string][]*crowd // the server that was replaced first comes first
}{at: make(map[string][]*crowd)}

// crowd is the connections of one server that linger.
type crowd struct {
	server  *conns
	timers  map[*time.Timer]struct{} // one for each, which asks its streams back
	hurried bool
}

// joinCrowd counts a connection among those that linger until leave is called. Its
// timer may be set to an earlier time.
func joinCrowd(addr string, server *conns, timer *time.Timer) (leave func()) {
	crowds.Lock()
	defer crowds.Unlock()
	all := crowds.at[addr]
	i := slices.IndexFunc(all, func(c *crowd) bool { return c.server == server })
	if i < 0 {
		i = len(all)
		all = append(all, &crowd{server: server, timers: make(map[*time.Timer]struct{})})
		crowds.at[addr] = all
	}
	all[i].timers[timer] = struct{}{}
	if all[i].hurried {
		timer.Reset(rand.N(hurry))
	}
	for _, older := range all[:max(0, len(all)-undisturbed)] {
		older.hurry()
	}
	return func() { all[i].leave(addr, timer) }
}

// hurry makes all connections ask their streams back soon. The caller holds the lock
// of crowds.
func (c *crowd) hurry() {
	if c.hurried {
		return
	}
	c.hurried = true
	for timer := range c.timers {
		if timer.Stop() { // otherwise it has fired
			timer.Reset(rand.N(hurry))
		}
	}
}

func (c *crowd) leave(addr string, timer *time.Timer) {
	crowds.Lock()
	defer crowds.Unlock()
	delete(c.timers, timer)
	if len(c.timers) > 0 {
		return
	}
	rest := slices.DeleteFunc(slices.Clone(crowds.at[addr]), func(other *crowd) bool { return other == c })
	if len(rest) > 0 {
		crowds.at[addr] = rest
	} else {
		delete(crowds.at, addr)
	}
}
