package ssechat

import (
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// aliveEvery is how often a hub tells its peers that it lives.
	aliveEvery = 50 // ticks
	// tellEvery is how often it tells who reads, where that changes.
	tellEvery = 5 // ticks
	// maxUntoldRooms is how many rooms wait to be told one by one. Beyond
	// that, and after a failure, all are told.
	maxUntoldRooms = 10_000
	// maxOrders is how many notices wait that are told in order.
	maxOrders = 1000
	// orderLife is how long such a notice is tried again.
	orderLife = kickedFor
	// farewell is how long a hub that closes waits until that is told.
	farewell = time.Second
)

// outbox is what a hub has to tell its peers. Whoever has something to tell
// puts it in, which never waits; one goroutine sends it, so that a network that
// hangs stops nothing else. What would pile up meanwhile is put together: of a
// room only its name is kept, and who reads it is looked up when it is sent.
type outbox struct {
	wake  chan struct{} // for the sending goroutine
	ended chan struct{} // closed when that has ended

	mu     sync.Mutex // guards all below; never held while anything waits
	open   bool       // there may be peers
	bye    bool       // the hub closes
	hello  bool
	alive  bool
	all    bool // all rooms are to be told
	orders []order
	rooms  map[string]struct{} // to be told
	due    bool                // now
	// when these were due, in ticks
	roomsAt, aliveAt int64
}

// order is a notice that none replaces, like a kick.
type order struct {
	notice notice
	until  time.Time
}

func newOutbox() outbox {
	return outbox{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// meet begins to talk with the other hubs of a log, if it can have some.
func (b *broker) meet() {
	relay, ok := b.store.(store.Relay)
	if !ok {
		return
	}
	o := &b.outbox
	o.mu.Lock()
	o.open, o.hello = true, true
	o.mu.Unlock()
	go b.sendNotices(relay)
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// put changes what is to be sent, and has it sent, unless nobody listens.
func (o *outbox) put(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open {
		change()
		o.signal()
	}
}

// tell tells all peers something, in the order of the calls. A peer that cannot
// be reached within [orderLife] is not told.
func (b *broker) tell(n notice) {
	o := &b.outbox
	o.put(func() {
		if n.Hello {
			o.hello = true
			return
		}
		if len(o.orders) == maxOrders {
			o.orders = o.orders[1:]
		}
		o.orders = append(o.orders, order{n, time.Now().Add(orderLife)})
	})
}

// addAll has all rooms told soon.
func (o *outbox) addAll() { o.put(func() { o.all = true }) }

// addRoom has the readers of a room told at the next tick that is for that.
func (o *outbox) addRoom(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !o.open || o.all:
	case len(o.rooms) >= maxUntoldRooms:
		o.all, o.rooms = true, nil
		o.signal()
	default:
		if o.rooms == nil {
			o.rooms = make(map[string]struct{})
		}
		o.rooms[name] = struct{}{}
	}
}

// tick has sent what is due. It reports whether something waits for a later
// tick.
func (o *outbox) tick(now int64) (wait bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open {
		return false
	}
	if len(o.rooms) > 0 && now-o.roomsAt >= tellEvery {
		o.roomsAt, o.due = now, true
	}
	if now-o.aliveAt >= aliveEvery {
		o.aliveAt, o.alive = now, true
	}
	if o.due || o.alive {
		o.signal()
	}
	return len(o.rooms) > 0 && !o.due
}

// parcel is what is sent at once.
type parcel struct {
	bye, hello, alive, all bool
	orders                 []order
	rooms                  map[string]struct{}
}

// take takes out what is due. It reports false if that is nothing.
func (o *outbox) take() (parcel, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := parcel{bye: o.bye, hello: o.hello, alive: o.alive, all: o.all, orders: o.orders}
	o.hello, o.alive, o.all, o.orders = false, false, false, nil
	switch {
	case p.all:
		o.rooms, o.due = nil, false // which are among all
	case o.due:
		p.rooms, o.rooms, o.due = o.rooms, nil, false
	}
	return p, p.bye || p.hello || p.alive || p.all || p.orders != nil || p.rooms != nil
}

// putBack keeps what could not be sent for another try: what is left of the
// orders, and whether others were asked. Presence is not kept: who has missed
// something asks for everything.
func (o *outbox) putBack(p parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hello = o.hello || p.hello
	o.orders = append(p.orders, o.orders...)
	o.orders = o.orders[max(0, len(o.orders)-maxOrders):]
}

// close has the farewell sent. It waits for that, but not for long.
func (o *outbox) close() {
	o.mu.Lock()
	open := o.open
	o.open, o.bye = false, true
	o.mu.Unlock()
	if !open {
		return
	}
	o.signal()
	patience := time.NewTimer(farewell)
	defer patience.Stop()
	select {
	case <-o.ended:
	case <-patience.C:
	}
}
