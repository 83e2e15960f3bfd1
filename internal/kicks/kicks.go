// Package kicks lists the names that moderators have kicked lately.
package kicks

import (
	"sync"
	"sync/atomic"
	"time"
)

// List is the names that are kept out, and until when.
type List struct {
	some  atomic.Bool // saves the lock while there are none
	mu    sync.Mutex  // guards until
	until map[string]time.Time
}

func (k *List) Add(name string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil {
		k.until = make(map[string]time.Time)
	}
	k.sweep(now)
	k.until[name] = now.Add(Duration)
	k.some.Store(true)
}

// Has reports whether a name is kept out now.
func (k *List) Has(name string) bool {
	if name == "" || !k.some.Load() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweep(time.Now())
	_, held := k.until[name]
	return held
}

func (k *List) sweep(now time.Time) {
	for name, until := range k.until {
		if !now.Before(until) {
			delete(k.until, name)
		}
	}
	k.some.Store(len(k.until) > 0)
}

// Duration is how long a kicked name is kept out.
const Duration = time.Minute
