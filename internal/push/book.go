package push

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// checkEvery is how often other nodes' subscriptions are looked for, at most.
	checkEvery = 2 * time.Second
	// loads is how many subscriptions are loaded at the same time.
	loads = 16
	// MaxPerPerson is how many subscriptions a person may have. The oldest is forgotten for a
	// new one.
	MaxPerPerson = 20
)

// maxSubscriptions is how many subscriptions a hub may have.
var maxSubscriptions = 100_000 // but for tests

// ErrFull is the error for a subscription too many.
var ErrFull = errors.New("the hub has as many subscriptions as it may have")

// book is the subscriptions of a hub, as they are in the storage. Its methods may be called
// by several goroutines at the same time.
//
// Each subscription has a key of its own, which depends on all that it says. So a node that
// sees the mark changed lists the keys, and loads those that it does not know.
type book struct {
	storage Storage
	prefix  string
	turn    turn // of whoever writes or reads the storage; guards mark, checked and unmarked

	mark     string    // the mark as it was before the newest list
	checked  time.Time // when it was last read
	unmarked bool      // other nodes have not been told of a change

	mu         sync.RWMutex // guards all below; never held over the storage
	complete   bool         // all was loaded once
	byKey      map[string]*Subscription
	byEndpoint map[string]string // key by endpoint
	byRoom     map[string]map[*Subscription]struct{}
	byOwner    map[store.Owner]map[*Subscription]struct{}
	outdated   map[string]struct{} // stored keys of endpoints that have a later subscription
}

func newBook(storage Storage, hub string) *book {
	return &book{
		storage: storage, prefix: "sse_chat/push/" + folderOf(hub), turn: newTurn(),
		byKey:      make(map[string]*Subscription),
		byEndpoint: make(map[string]string),
		byRoom:     make(map[string]map[*Subscription]struct{}),
		byOwner:    make(map[store.Owner]map[*Subscription]struct{}),
		outdated:   make(map[string]struct{}),
	}
}

func (b *book) markKey() string        { return b.prefix + "/mark" }
func (b *book) folder() string         { return b.prefix + "/subscriptions" }
func (b *book) path(key string) string { return b.folder() + "/" + key }

// isComplete reports whether all subscriptions were loaded once.
func (b *book) isComplete() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.complete
}

// size returns how many subscriptions there are.
func (b *book) size() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.byEndpoint)
}

// holds reports whether a key is known.
func (b *book) holds(key string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	_, ok := b.byKey[key]
	return ok
}

// keyOf returns the key of an endpoint's subscription, or "" if there is none.
func (b *book) keyOf(endpoint string) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.byEndpoint[endpoint]
}

// in returns the subscriptions to a room.
func (b *book) in(room string) []*Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Collect(maps.Keys(b.byRoom[room]))
}

// find returns the subscription of an endpoint, or nil.
func (b *book) find(endpoint string) *Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.byKey[b.byEndpoint[endpoint]]
}

// put stores a subscription, in place of another one of the endpoint.
func (b *book) put(ctx context.Context, sub *Subscription) error {
	if err := b.turn.take(ctx); err != nil {
		return err
	}
	defer b.turn.give()
	if err := b.refresh(ctx); err != nil {
		return err
	}
	key, old := sub.key(), b.keyOf(sub.Endpoint)
	if key == old {
		return b.tell(ctx)
	}
	switch other := b.find(sub.Endpoint); {
	case other != nil:
		sub.Made = max(sub.Made, other.Made+1) // though clocks of nodes differ
	case b.size() >= maxSubscriptions:
		return ErrFull
	}
	value, err := json.Marshal(sub)
	if err != nil {
		return err
	}
	if err := b.storage.Store(ctx, b.path(key), value); err != nil {
		return err
	}
	b.unmarked = true
	surplus := b.surplus(sub.Owner, sub.Endpoint)
	if old != "" {
		surplus = append(surplus, old)
	}
	b.add(key, sub)
	return b.erase(ctx, surplus)
}

// surplus returns the keys of the oldest subscriptions of a person that must go for another
// one.
func (b *book) surplus(owner store.Owner, endpoint string) (keys []string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var others []*Subscription
	for sub := range b.byOwner[owner] {
		if sub.Endpoint != endpoint {
			others = append(others, sub)
		}
	}
	slices.SortFunc(others, func(x, y *Subscription) int { return cmp.Compare(x.Made, y.Made) })
	for _, sub := range others[:max(0, len(others)+1-MaxPerPerson)] {
		keys = append(keys, b.byEndpoint[sub.Endpoint])
	}
	return keys
}

// remove forgets the subscription of an endpoint.
func (b *book) remove(ctx context.Context, endpoint string) error {
	return b.removeWhere(ctx, func() []string { return []string{b.byEndpoint[endpoint]} })
}

// removeThese forgets subscriptions that are still as they were.
func (b *book) removeThese(ctx context.Context, subs []*Subscription) error {
	return b.removeWhere(ctx, func() (keys []string) {
		for _, sub := range subs {
			keys = append(keys, sub.key())
		}
		return keys
	})
}

// removePerson forgets all subscriptions of a person.
func (b *book) removePerson(ctx context.Context, person string) error {
	return b.removeWhere(ctx, func() (keys []string) {
		for owner, subs := range b.byOwner {
			if personOf(owner) != person {
				continue
			}
			for sub := range subs {
				keys = append(keys, b.byEndpoint[sub.Endpoint])
			}
		}
		return keys
	})
}

// removeWhere forgets the subscriptions of the keys that which returns, as far as they are
// known. which is called under the lock.
func (b *book) removeWhere(ctx context.Context, which func() []string) error {
	if err := b.turn.take(ctx); err != nil {
		return err
	}
	defer b.turn.give()
	b.checked = time.Time{} // another node may have stored one a moment ago
	if err := b.refresh(ctx); err != nil {
		return err
	}
	b.mu.RLock()
	keys := slices.DeleteFunc(which(), func(key string) bool { return b.byKey[key] == nil })
	b.mu.RUnlock()
	if len(keys) == 0 {
		return b.tell(ctx)
	}
	return b.erase(ctx, keys)
}

// erase deletes keys, and then changes the mark, so that other nodes look. The caller has the
// turn.
func (b *book) erase(ctx context.Context, keys []string) error {
	err := b.discard(ctx, keys)
	b.unmarked = true
	return errors.Join(err, b.tell(ctx))
}

// discard deletes keys.
func (b *book) discard(ctx context.Context, keys []string) error {
	var all errgroup.Group
	all.SetLimit(loads)
	for _, key := range keys {
		all.Go(func() error {
			err := b.storage.Delete(ctx, b.path(key))
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				b.drop(key)
				return nil
			}
			return err
		})
	}
	return all.Wait()
}

// tell changes the mark if other nodes have to be told of a change. It is no mark that this
// node knows, because one of another node may come in between: this node looks too.
func (b *book) tell(ctx context.Context) error {
	if !b.unmarked {
		return nil
	}
	err := b.storage.Store(ctx, b.markKey(), []byte(rand.Text()))
	b.unmarked = err != nil
	return err
}

// refresh learns what other nodes have stored, unless it has just done so. The caller has the
// turn. After an error it goes on where it was the next time.
func (b *book) refresh(ctx context.Context) error {
	if time.Since(b.checked) < checkEvery {
		return nil
	}
	mark, err := b.storage.Load(ctx, b.markKey())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && (string(mark) != b.mark || !b.isComplete()) {
		err = b.reload(ctx)
	}
	if err != nil {
		return fmt.Errorf("reading the subscriptions: %w", err)
	}
	b.mark, b.checked = string(mark), time.Now()
	return nil
}

// reload makes the book what the storage is.
func (b *book) reload(ctx context.Context) error {
	paths, err := b.storage.List(ctx, b.folder(), false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var all errgroup.Group
	all.SetLimit(loads)
	stored := make(map[string]bool, len(paths))
	for _, path := range paths {
		key := path[strings.LastIndexByte(path, '/')+1:]
		stored[key] = true
		if !b.holds(key) {
			all.Go(func() error { return b.load(ctx, key) })
		}
	}
	if err := all.Wait(); err != nil {
		return err
	}
	b.mu.Lock()
	b.complete = true
	for key := range b.byKey {
		if !stored[key] {
			b.dropLocked(key)
		}
	}
	outdated := slices.Collect(maps.Keys(b.outdated))
	b.mu.Unlock()
	// or they would be back once the later one is deleted; all nodes come to the same
	return b.discard(ctx, outdated)
}

// load adds a subscription from the storage. One that another node has deleted meanwhile, or
// that is damaged, is as good as none.
func (b *book) load(ctx context.Context, key string) error {
	value, err := b.storage.Load(ctx, b.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sub := new(Subscription)
	if json.Unmarshal(value, sub) != nil || sub.key() != key {
		sub = nil // but it is not read again
	}
	b.add(key, sub)
	return nil
}

// add adds a subscription, or nil for one that cannot be read. Of two with one endpoint, which
// two nodes have stored at the same time, the later is kept.
func (b *book) add(key string, sub *Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sub == nil {
		b.byKey[key] = nil
		return
	}
	if known := b.byEndpoint[sub.Endpoint]; known != "" {
		other := b.byKey[known]
		if other.Made > sub.Made || other.Made == sub.Made && known > key {
			b.byKey[key] = nil
			b.outdated[key] = struct{}{}
			return
		}
		b.unindex(other)
		b.byKey[known] = nil
		b.outdated[known] = struct{}{}
	}
	delete(b.outdated, key) // its content is back
	b.byKey[key] = sub
	b.byEndpoint[sub.Endpoint] = key
	for _, room := range sub.rooms() {
		if b.byRoom[room] == nil {
			b.byRoom[room] = make(map[*Subscription]struct{})
		}
		b.byRoom[room][sub] = struct{}{}
	}
	if b.byOwner[sub.Owner] == nil {
		b.byOwner[sub.Owner] = make(map[*Subscription]struct{})
	}
	b.byOwner[sub.Owner][sub] = struct{}{}
}

func (b *book) drop(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropLocked(key)
}

func (b *book) dropLocked(key string) {
	sub := b.byKey[key]
	delete(b.byKey, key)
	delete(b.outdated, key)
	if sub != nil && b.byEndpoint[sub.Endpoint] == key {
		b.unindex(sub)
		delete(b.byEndpoint, sub.Endpoint)
	}
}

// unindex removes a subscription from the lists of its rooms and its owner.
func (b *book) unindex(sub *Subscription) {
	for _, room := range sub.rooms() {
		if delete(b.byRoom[room], sub); len(b.byRoom[room]) == 0 {
			delete(b.byRoom, room)
		}
	}
	if delete(b.byOwner[sub.Owner], sub); len(b.byOwner[sub.Owner]) == 0 {
		delete(b.byOwner, sub.Owner)
	}
}
