package nodes

import (
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
)

const (
	// aliveEvery is the interval between keep-alives.
	aliveEvery = 50 // ticks
	// tellEvery is how often it sends the rooms whose readers changed.
	tellEvery = 5 // ticks
	// MaxQueuedRooms is how many rooms can be queued one by one. Beyond that, all
	// rooms are sent.
	MaxQueuedRooms = 10_000
	// maxCommands is how many commands can be queued. Beyond that, the oldest are
	// dropped.
	maxCommands = 1000
	// maxSignals is how many such notices can be queued. Beyond that, the oldest are dropped.
	maxSignals = 100
	// CommandLife is for how long a command is retried.
	CommandLife = time.Minute // as long as a kicked name is kept out
	// retryNotices is the delay after which a failed notice is retried.
	retryNotices = time.Second
	// Farewell is how long Close waits for the farewell to be sent.
	Farewell = time.Second
)

// Outbox queues what a hub sends its peers. Adding to it never waits: one goroutine
// sends it, so that a hanging network stops nothing else. It merges what would pile
// up: it keeps only a room's name, and the room's readers are looked up when it is
// sent. Its methods are safe for concurrent use. Until Start it ignores what is
// added.
type Outbox struct {
	wake  chan struct{} // wakes Run
	ended chan struct{} // closed when Run has ended

	mu       sync.Mutex // guards all below; never held while anything waits
	open     bool       // started, and not closed
	bye      bool       // a farewell is due
	hello    bool       // a hello is due
	alive    bool       // a keep-alive is due
	all      bool       // all rooms are due
	commands []Command
	signals  []Notice
	rooms    map[string]struct{} // queued rooms
	due      bool                // whether the queued rooms are due
	// ticks at which rooms and a keep-alive were last due
	roomsAt, aliveAt int64
}

// Command is a notice that no later one replaces, like a kick. It is not sent after
// Until.
type Command struct {
	Notice Notice
	Until  time.Time
}

// NewOutbox returns an empty outbox. It must not be copied once it is in use.
func NewOutbox() Outbox {
	return Outbox{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Start makes the outbox accept notices. A hello is the first.
func (o *Outbox) Start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.hello = true, true
	o.signal()
}

func (o *Outbox) signal() {
	wake.Up(o.wake)
}

// put calls change with the lock held and wakes Run, if the outbox is open.
func (o *Outbox) put(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open {
		change()
		o.signal()
	}
}

// Tell queues a notice for all peers. Notices are sent in the order of the calls,
// best effort: a notice that cannot be sent within [CommandLife] is dropped.
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

// TellNow queues a notice that is only useful now: a signal, a question or an answer. It is
// dropped if it cannot be sent soon.
func (o *Outbox) TellNow(n Notice) {
	o.put(func() {
		if len(o.signals) == maxSignals {
			o.signals = o.signals[1:]
		}
		o.signals = append(o.signals, n)
	})
}

// AddAll queues all rooms, to be sent at once.
func (o *Outbox) AddAll() { o.put(func() { o.all = true }) }

// AddRoom queues a room, whose readers are sent at the next tick that is due for
// rooms.
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

// Waiting returns how many rooms are queued one by one.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rooms)
}

// Tick makes Run send what is due at a tick. It reports whether something is due
// only later.
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

// Parcel is what one call of send has to send.
type Parcel struct {
	Bye      bool                // a farewell, after which nothing is sent
	Hello    bool                // a request to all others for all their rooms
	Alive    bool                // a keep-alive, if nothing else is sent
	All      bool                // all rooms
	Commands []Command           // to be sent in order
	Signals  []Notice            // to be sent now, or never
	Rooms    map[string]struct{} // rooms by name, unless All is set
}

// take removes and returns what is due. It reports false if nothing is.
func (o *Outbox) take() (Parcel, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := Parcel{Bye: o.bye, Hello: o.hello, Alive: o.alive, All: o.all, Commands: o.commands, Signals: o.signals}
	o.hello, o.alive, o.all, o.commands, o.signals = false, false, false, nil, nil
	switch {
	case p.All:
		o.rooms, o.due = nil, false // all rooms include them
	case o.due:
		p.Rooms, o.rooms, o.due = o.rooms, nil, false
	}
	return p, p.Bye || p.Hello || p.Alive || p.All || p.Commands != nil || p.Signals != nil || p.Rooms != nil
}

// putBack queues again what could not be sent: commands and a hello. It does not
// keep rooms, because peers that miss a notice ask for all rooms.
func (o *Outbox) putBack(p Parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hello = o.hello || p.Hello
	o.commands = append(p.Commands, o.commands...)
	o.commands = o.commands[max(0, len(o.commands)-maxCommands):]
}

// Run calls send for what is due, until Close was called and the farewell was sent.
// send must leave in the parcel what it has not sent. One goroutine calls Run,
// once, after Start.
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

// Close makes Run send the farewell, and waits for it, at most [Farewell].
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
