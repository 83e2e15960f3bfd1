package hub

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/nodes"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// A store may call Reading, Told and Reached from other goroutines while it delivers,
// as store.Hub and store.Peer say. The race detector watches.
func TestAStoreCallsAHubFromSeveralGoroutines(t *testing.T) {
	b := newTestHub(t, plenty)
	s := b.mustSubscribe(t, defaults("a", "b"))
	defer s.Close()
	notice := func(n nodes.Notice) []byte {
		data, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	told := [][]byte{
		notice(nodes.Notice{Hello: true}),
		notice(nodes.Notice{Number: 1, All: true, Rooms: []nodes.NoticeRoom{{Room: "a", Count: 1, Names: []string{"kim"}}}}),
		notice(nodes.Notice{Kick: "nobody"}),
		notice(nodes.Notice{End: &nodes.NoticeEnd{Room: "other"}}),
		notice(nodes.Notice{Bye: true}),
	}
	const times = 200
	at := b.State().Latest
	var all sync.WaitGroup
	for _, call := range []func(i int){
		func(i int) { // one goroutine follows the log
			at = at.Next()
			switch i % 10 {
			case 7:
				b.Deleted("a", at.Prev(), at)
			case 8:
				b.Forgotten("b", at.Prev(), at)
			case 9:
				b.Missed(at, false)
			default:
				b.Deliver([]*store.Message{store.NewMessage(at, "a", store.Draft{Text: "x"})})
			}
		},
		func(i int) { b.Told("other", told[i%len(told)]) },
		func(int) { b.Reading("a") },
		func(int) { b.Reading("b") },
		func(i int) {
			if i%2 == 0 {
				b.Reached(errors.New("away"))
			} else {
				b.Reached(nil)
			}
		},
	} {
		all.Go(func() {
			for i := range times {
				call(i)
			}
		})
	}
	all.Wait()
	if !b.Reading("a") || !b.StoreUp() {
		t.Errorf("room a has readers: %t, the store can be reached: %t; want true, true", b.Reading("a"), b.StoreUp())
	}
}
