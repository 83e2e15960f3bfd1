package ssechat

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// errFull is returned to a reader for whom there is no room now.
var errFull = errors.New("the hub has as many streams as it may have")

// errClientFull is an errFull because of the client's own streams.
var errClientFull = fmt.Errorf("%w of one client", errFull)

// broker carries the messages of one hub from its store to its readers. It
// knows no HTTP: a reader is a [subscriber], whoever writes for it.
//
// A message goes to the store, which puts it in order and hands it back
// through Deliver; from there it goes into the ring of its room, and whoever
// reads the room is woken. What a woken subscriber reads is whatever lies
// between its cursor and the newest message, be that one message or a
// thousand: replay, catching up and live delivery are the same read.
//
// All methods are safe for concurrent use.
type broker struct {
	store store.Store
	sizes sizes
	pace  *pace
	pages pages
	// latest is the id up to which all stored messages are in the rings.
	latest atomic.Pointer[store.ID]
	// began is the id after which a log begins that was not known at first.
	began  atomic.Pointer[store.ID]
	counts counts
	health storeHealth
	kicks  kicks

	underway underway

	mu     sync.RWMutex // guards rooms, vacant and limits
	rooms  map[string]*room
	vacant list.List // rooms without readers, the first to be dropped in front
	limits store.Limits

	ringBytes atomic.Int64 // size of all rings

	dirty, restless, swollen roomSet

	wake chan struct{} // for dispatch, when dirty is not empty

	clientMu sync.Mutex     // guards clients
	clients  map[string]int // how many subscribers each has

	lotMu      sync.Mutex // guards lot
	lot        *lot       // nil until a stream is parked
	lotWarning sync.Once  // that streams cannot be parked

	wheel      *wheel
	departures departures
	peers      peers
	outbox     outbox
	tidied     int64                  // when, in ticks; only tick touches it
	closing    atomic.Pointer[string] // why all streams end; nil while open
	done       chan struct{}          // closed by close
}

// openBroker opens a hub on the store that open makes for it.
func openBroker(limits store.Limits, open func(store.Hub, store.Limits) (store.Store, error)) (*broker, error) {
	b := &broker{
		sizes:    usualSizes.within(limits.Size),
		pace:     newPace(),
		counts:   newCounts(),
		health:   newStoreHealth(),
		rooms:    make(map[string]*room),
		limits:   limits,
		restless: roomSet{kind: restlessSet},
		swollen:  roomSet{kind: swollenSet},
		outbox:   newOutbox(),
		clients:  make(map[string]int),
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		wheel:    newWheel(),
	}
	b.latest.Store(new(store.ID))
	st, err := open(b, limits)
	if err != nil {
		return nil, err
	}
	b.store = st
	b.advance(st.State().Latest)
	go b.dispatch()
	b.meet()
	return b, nil
}

// limit changes what the hub keeps.
func (b *broker) limit(limits store.Limits) {
	b.mu.Lock()
	changed := b.limits != limits
	b.limits = limits
	b.mu.Unlock()
	if changed {
		b.store.Limit(limits)
		b.pages.forget()
	}
}

// publish stores drafts in a room, all or none, and returns them as stored.
func (b *broker) publish(ctx context.Context, room string, drafts ...store.Draft) ([]store.Receipt, error) {
	b.pace.await(ctx)
	begin := time.Now()
	receipts, err := b.store.Append(ctx, room, drafts)
	b.counts.appends.observe(time.Since(begin))
	b.health.wrote(err)
	if err != nil {
		return nil, err
	}
	for _, r := range receipts {
		if !r.Repeat {
			b.counts.published.Add(1)
		}
	}
	return receipts, nil
}

// Deliver implements [store.Hub].
func (b *broker) Deliver(messages []*store.Message) {
	// no room may appear between the search for it and the advance, or it
	// would hold less than it believes
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, m := range messages {
		if r := b.rooms[m.Room]; r != nil {
			grown, swollen := r.push(m, &b.sizes, b.ringBytes.Load())
			b.ringBytes.Add(grown)
			b.pace.published.Add(int64(len(m.Frame())))
			if swollen {
				b.swollen.add(r)
			}
		}
	}
	b.advance(messages[len(messages)-1].ID)
	// only now, because a reader of several rooms reads no further than latest
	for _, m := range messages {
		if r := b.rooms[m.Room]; r != nil {
			b.dirty.add(r)
		}
	}
	b.wakeDispatch()
}

// advance moves latest to id, never back.
func (b *broker) advance(id store.ID) {
	for {
		old := b.latest.Load()
		if !id.After(*old) || b.latest.CompareAndSwap(old, &id) {
			return
		}
	}
}

// Deleted implements [store.Hub].
func (b *broker) Deleted(name string, id store.ID) {
	b.pages.forget()
	if r := b.room(name); r != nil {
		b.ringBytes.Add(r.delete(id))
	}
}

// Forgotten implements [store.Hub].
func (b *broker) Forgotten(name string, through store.ID) {
	b.pages.forget()
	if r := b.room(name); r != nil {
		b.ringBytes.Add(r.forget(through))
	}
}

// Dropped implements [store.Mirror].
func (b *broker) Dropped(name string, through store.ID) {
	if r := b.room(name); r != nil {
		b.ringBytes.Add(r.release(through))
	}
}

// Reading implements [store.Hub].
func (b *broker) Reading(name string) bool {
	r := b.room(name)
	return r != nil && r.occupied() || b.peers.in(name, time.Now()) != nil
}

func (b *broker) room(name string) *room {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.rooms[name]
}

func (b *broker) wakeDispatch() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// dispatch wakes the readers of rooms with new messages, so that no publisher
// pays for them. What comes while it is under way is told in the next round.
func (b *broker) dispatch() {
	var rooms []*room
	turn := b.pace.dispatch()
	for {
		select {
		case <-b.wake:
		case <-b.done:
			return
		}
		rooms = b.dirty.take(rooms)
		turn.begin(b.pace.published.Load())
		for _, r := range rooms {
			b.wakeAll(r)
		}
		turn.end()
		clear(rooms)
	}
}

// wakeAll wakes the readers of a room. A panic costs none of another room.
func (b *broker) wakeAll(r *room) {
	defer contain("waking readers", func() {})
	r.wakeAll(b.pace)
}

// endAll ends all streams for a reason, those of earlier configurations too.
// New ones end at once. A stalled one is cut after the goodbye limit.
func (b *broker) endAll(reason string) {
	if b.closing.CompareAndSwap(nil, &reason) {
		b.wheel.endAll(reason)
	}
}

// close ends all streams and gives up the store. Streams may need a moment
// longer to say goodbye; nothing they do then needs the store.
func (b *broker) close() error {
	b.endAll(endReload)
	b.outbox.close()
	b.wheel.close()
	b.closeParking()
	close(b.done)
	return b.store.Close()
}

// Interface guards
var _ store.Mirror = (*broker)(nil)
