package nodes

import (
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
)

const (
	// aliveEvery is how often a hub tells its peers that it lives.
	aliveEvery = 50 // ticks
	// tellEvery is how often it tells who reads, where that changes.
	tellEvery = 5 // ticks
	// MaxUntoldRooms is how many rooms wait to be told one by one. Beyond
	// that, and after a failure, all are told.
	MaxQueuedRooms = 10_000
	// maxOrders is how many notices wait that are told in order.
	maxCommands = 1000
	// OrderLife is how long such a notice is tried again.
	CommandLife = time.Minute // as long as a name that was kicked is kept out
	// retryNotices is when what could not be sent is tried again.
	retryNotices = time.Second
	// Farewell is how long a hub that closes waits until that is told.
	Farewell = time.Second
)

// Outbox is what a hub has to tell its peers. Whoever has something to tell
// puts it in, which never waits; one goroutine sends it, so that a network that
// hangs stops nothing else. What would pile up meanwhile is put together: of a
// room only its name is kept, and who reads it is looked up when it is sent.
type Outbox struct {
	wake  chan struct{} // for the sending goroutine
	ended chan struct{} // closed when that has ended

	mu       sync.Mutex // guards all below; never held while anything waits
	open     bool       // there may be peers
	bye      bool       // the hub closes
	hello    bool
	alive    bool
	all      bool // all rooms are to be told
	commands []Command
	rooms    map[string]struct{} // to be told
	due      bool                // now
	// when these were due, in ticks
	roomsAt, aliveAt int64
}

// Order is a notice that none replaces, like a kick.
type Command struct {
	Notice Notice
	Until  time.Time
}

func NewOutbox() Outbox {
	return Outbox{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Start begins to take what there is to tell, a hello to begin with.
func (o *Outbox) Start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.hello = true, true
	o.signal()
}

func (o *Outbox) signal() {
	wake.Up(o.wake)
}

// put changes what is to be sent, and has it sent, unless nobody listens.
func (o *Outbox) put(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open {
		change()
		o.signal()
	}
}

// Tell has all peers told something, in the order of the calls. A peer that cannot
// be reached within [OrderLife] is not told.
func (o *Outbox) Tell(n Notice) {
	o.put(func() {
		if n.Hello {
			o.hello = true
			return
		}
		if len(o.commands) == maxCommands {
			o.commands = o.commands[1:]
		}
		o.commands = append(o.commands, Command{n, time.Now().Add(CommandLife)})
	})
}

// AddAll has all rooms told soon.
func (o *Outbox) AddAll() { o.put(func() { o.all = true }) }

// AddRoom has the readers of a room told at the next tick that is for that.
func (o *Outbox) AddRoom(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !o.open || o.all:
	case len(o.rooms) >= MaxQueuedRooms:
		o.all, o.rooms = true, nil
		o.signal()
	default:
		if o.rooms == nil {
			o.rooms = make(map[string]struct{})
		}
		o.rooms[name] = struct{}{}
	}
}

// Waiting returns how many rooms wait to be told one by one.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rooms)
}

// Tick has sent what is due. It reports whether something waits for a later
// tick.
func (o *Outbox) Tick(now int64) (wait bool) {
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

// Parcel is what is sent at once.
type Parcel struct {
	Bye, Hello, Alive, All bool
	Commands               []Command
	Rooms                  map[string]struct{}
}

// take takes out what is due. It reports false if that is nothing.
func (o *Outbox) take() (Parcel, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := Parcel{Bye: o.bye, Hello: o.hello, Alive: o.alive, All: o.all, Commands: o.commands}
	o.hello, o.alive, o.all, o.commands = false, false, false, nil
	switch {
	case p.All:
		o.rooms, o.due = nil, false // which are among all
	case o.due:
		p.Rooms, o.rooms, o.due = o.rooms, nil, false
	}
	return p, p.Bye || p.Hello || p.Alive || p.All || p.Commands != nil || p.Rooms != nil
}

// putBack keeps what could not be sent for another try: what is left of the
// orders, and whether others were asked. Presence is not kept: who has missed
// something asks for everything.
func (o *Outbox) putBack(p Parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hello = o.hello || p.Hello
	o.commands = append(p.Commands, o.commands...)
	o.commands = o.commands[max(0, len(o.commands)-maxCommands):]
}

// Run has everything sent that is put in, until close was called and the farewell
// was sent.
func (o *Outbox) Run(send func(*Parcel) error) {
	defer close(o.ended)
	var retry <-chan time.Time
	for {
		select {
		case <-o.wake:
		case <-retry:
		}
		retry = nil
		for p, some := o.take(); some; p, some = o.take() {
			err := send(&p)
			if p.Bye {
				return
			}
			if err != nil {
				o.putBack(p)
				retry = time.After(retryNotices)
				break
			}
		}
	}
}

// Close has the farewell sent. It waits for that, but not for long.
func (o *Outbox) Close() {
	o.mu.Lock()
	open := o.open
	o.open, o.bye = false, true
	o.mu.Unlock()
	if !open {
		return
	}
	o.signal()
	patience := time.NewTimer(Farewell)
	defer patience.Stop()
	select {
	case <-o.ended:
	case <-patience.C:
	}
}
