package push

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// index is the subscriptions that a node knows.
type index struct {
	mu         sync.RWMutex // guards all below; never held over the storage
	complete   bool         // all was loaded once
	byKey      map[string]*Subscription
	byEndpoint map[string]string // key by endpoint
	byRoom     map[string]map[*Subscription]struct{}
	byOwner    map[store.Owner]map[*Subscription]struct{}
	outdated   map[string]struct{} // stored keys of endpoints that have a later subscription
}

func newIndex() index {
	return index{
		byKey:      make(map[string]*Subscription),
		byEndpoint: make(map[string]string),
		byRoom:     make(map[string]map[*Subscription]struct{}),
		byOwner:    make(map[store.Owner]map[*Subscription]struct{}),
		outdated:   make(map[string]struct{}),
	}
}

// isComplete reports whether all subscriptions were loaded once.
func (i *index) isComplete() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.complete
}

// size returns how many subscriptions there are.
func (i *index) size() int {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return len(i.byEndpoint)
}

// holds reports whether a key is known.
func (i *index) holds(key string) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	_, ok := i.byKey[key]
	return ok
}

// keyOf returns the key of an endpoint's subscription, or "" if there is none.
func (i *index) keyOf(endpoint string) string {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.byEndpoint[endpoint]
}

// in returns the subscriptions to a room.
func (i *index) in(room string) []*Subscription {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return slices.Collect(maps.Keys(i.byRoom[room]))
}

// find returns the subscription of an endpoint, or nil.
func (i *index) find(endpoint string) *Subscription {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.byKey[i.byEndpoint[endpoint]]
}

// surplus returns the keys of the oldest subscriptions of a person that must go for another
// one.
func (i *index) surplus(owner store.Owner, endpoint string) (keys []string) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	var others []*Subscription
	for sub := range i.byOwner[owner] {
		if sub.Endpoint != endpoint {
			others = append(others, sub)
		}
	}
	slices.SortFunc(others, func(x, y *Subscription) int { return cmp.Compare(x.Made, y.Made) })
	for _, sub := range others[:max(0, len(others)+1-MaxPerPerson)] {
		keys = append(keys, i.byEndpoint[sub.Endpoint])
	}
	return keys
}

// add adds a subscription, or nil for one that cannot be read. Of two with one endpoint, which
// two nodes have stored at the same time, the later is kept.
func (i *index) add(key string, sub *Subscription) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if sub == nil {
		i.byKey[key] = nil
		return
	}
	if known := i.byEndpoint[sub.Endpoint]; known != "" {
		other := i.byKey[known]
		if other.Made > sub.Made || other.Made == sub.Made && known > key {
			i.byKey[key] = nil
			i.outdated[key] = struct{}{}
			return
		}
		i.unindex(other)
		i.byKey[known] = nil
		i.outdated[known] = struct{}{}
	}
	delete(i.outdated, key) // its content is back
	i.byKey[key] = sub
	i.byEndpoint[sub.Endpoint] = key
	for _, room := range sub.rooms() {
		if i.byRoom[room] == nil {
			i.byRoom[room] = make(map[*Subscription]struct{})
		}
		i.byRoom[room][sub] = struct{}{}
	}
	if i.byOwner[sub.Owner] == nil {
		i.byOwner[sub.Owner] = make(map[*Subscription]struct{})
	}
	i.byOwner[sub.Owner][sub] = struct{}{}
}

func (i *index) drop(key string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dropLocked(key)
}

func (i *index) dropLocked(key string) {
	sub := i.byKey[key]
	delete(i.byKey, key)
	delete(i.outdated, key)
	if sub != nil && i.byEndpoint[sub.Endpoint] == key {
		i.unindex(sub)
		delete(i.byEndpoint, sub.Endpoint)
	}
}

// unindex removes a subscription from the lists of its rooms and its owner.
func (i *index) unindex(sub *Subscription) {
	for _, room := range sub.rooms() {
		if delete(i.byRoom[room], sub); len(i.byRoom[room]) == 0 {
			delete(i.byRoom, room)
		}
	}
	if delete(i.byOwner[sub.Owner], sub); len(i.byOwner[sub.Owner]) == 0 {
		delete(i.byOwner, sub.Owner)
	}
}
