package h2tap

import "sync"

// conns are the connections of a server.
type conns struct {
	mu     sync.Mutex // guards all below
	open   map[*Conn]struct{}
	isDown bool
}

func (l *conns) add(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	if l.isDown {
		c.shutDown()
	}
}

func (l *conns) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// shutDown ends the sessions of all connections once their requests are answered.
func (l *conns) shutDown() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isDown = true
	for c := range l.open {
		c.shutDown()
	}
}
