package push

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// checkEvery is how often other nodes' subscriptions are looked for, at most.
	checkEvery = 2 * time.Second
	// loads is how many subscriptions are loaded at the same time.
	loads = 16
	// listTries is how often they are listed if some are deleted meanwhile.
	listTries = 8
	// renewAfter is when a repeat of a subscription is stored again, so that one that is in use
	// is not the oldest.
	renewAfter = 24 * time.Hour
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

	index
}

func newBook(storage Storage, hub string) *book {
	return &book{storage: storage, prefix: "sse_chat/push/" + folderOf(hub), turn: newTurn(), index: newIndex()}
}

func (b *book) markKey() string        { return b.prefix + "/mark" }
func (b *book) folder() string         { return b.prefix + "/subscriptions" }
func (b *book) path(key string) string { return b.folder() + "/" + key }

// put stores a subscription, in place of another one of the endpoint.
func (b *book) put(ctx context.Context, sub *Subscription) error {
	if err := b.turn.take(ctx); err != nil {
		return err
	}
	defer b.turn.give()
	b.checked = time.Time{} // another node may have stored one a moment ago
	if err := b.refresh(ctx); err != nil {
		return err
	}
	key, old := sub.key(), b.keyOf(sub.Endpoint)
	other := b.find(sub.Endpoint)
	if key == old && sub.Made-other.Made < renewAfter.Milliseconds() {
		return b.tell(ctx)
	}
	switch {
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
	if old != "" && old != key {
		surplus = append(surplus, old)
	}
	b.add(key, sub)
	return b.erase(ctx, surplus)
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
	paths, err := b.list(ctx)
	if err != nil {
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

// list returns the paths of all subscriptions. A folder that is not there has none. But with
// files, the error is the same for one that is deleted while its folder is listed, and the rest
// of the list is missing: it is listed again.
func (b *book) list(ctx context.Context) (paths []string, err error) {
	seen := false
	for range listTries {
		paths, err = b.storage.List(ctx, b.folder(), false)
		if !errors.Is(err, fs.ErrNotExist) {
			return paths, err
		}
		seen = seen || len(paths) > 0
	}
	if seen {
		return nil, err
	}
	return nil, nil
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
