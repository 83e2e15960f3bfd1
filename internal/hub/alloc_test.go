//go:build !race

package hub

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Also not where rooms have readers, whose rings hold messages too.
func TestAMemoryHubAllocatesNoMoreThanItsSize(t *testing.T) {
	const size = 32 << 20
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools hold is free only now
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	text := strings.Repeat("x", 6<<10)
	b := newTestHub(t, store.Limits{Count: 1000, Rooms: 100_000, Size: size})
	const rooms = 5000
	name := func(i int) string { return fmt.Sprint("room ", i%rooms) }
	for i := range rooms {
		b.mustSubscribe(t, defaults(name(i)))
	}
	before := heap()
	for i := range 4 * rooms {
		b.mustPublish(t, name(i), text)
	}
	used := heap() - before
	t.Logf("%.2f of the size is in use", float64(used)/size)
	if used > size*105/100 {
		t.Errorf("%d bytes of heap are in use, more than the size of %d", used, size)
	}
}
