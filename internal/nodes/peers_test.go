package nodes

import (
	"slices"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

func TestWhatPeersHear(t *testing.T) {
	reads := func(room string, count int, names ...string) []NoticeRoom {
		return []NoticeRoom{{Room: room, Count: count, Names: names}}
	}
	for _, test := range []struct {
		name    string
		notices []Notice
		ask     bool
		count   int
		names   []string
	}{
		{"an arrival", []Notice{{Number: 1, Rooms: reads("a", 1, "kim")}}, true, 1, []string{"kim"}},
		{"one who has been silent says hello", []Notice{{Hello: true}}, false, 0, nil},
		{"all that there is", []Notice{{Number: 7, All: true, Rooms: reads("a", 2, "kim")}}, false, 2, []string{"kim"}},
		{"in parts", []Notice{{Number: 7, All: true, Rooms: reads("b", 2)}, {Number: 8, Rooms: reads("a", 1)}}, false, 1, nil},
		{"a sign of life", []Notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 7}}, false, 1, nil},
		{"a sign of life after a notice that was lost", []Notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 8}}, true, 1, nil},
		{"a change after one that was lost", []Notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 9, Rooms: reads("a", 3)}}, true, 3, nil},
		{"a departure", []Notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 8, Rooms: reads("a", 0)}}, false, 0, nil},
		{"all that there is now", []Notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 8, All: true}}, false, 0, nil},
		{"a goodbye", []Notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Bye: true}}, false, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p Peers
			var ask bool
			for _, n := range test.notices {
				_, ask = p.Hear("n", &n)
			}
			var got presence.Elsewhere
			if in := p.In("a", time.Now()); in != nil {
				got = *in
			}
			if ask != test.ask || got.Count != test.count || !slices.Equal(got.Names, test.names) {
				t.Errorf("ask %v, %+v; want %v, %d, %v", ask, got, test.ask, test.count, test.names)
			}
		})
	}
}

func TestAPeerThatFallsSilentIsForgotten(t *testing.T) {
	var p Peers
	p.Hear("n", &Notice{Number: 1, All: true, Rooms: []NoticeRoom{{Room: "a", Count: 3}}})
	later := time.Now().Add(peerLife + time.Second)
	if got := p.In("a", later); got != nil {
		t.Errorf("a dead peer counts %d", got.Count)
	}
	if changed := p.Expire(later); !slices.Equal(changed, []string{"a"}) || len(p.by) != 0 {
		t.Errorf("%v has changed, and %d peers are left", changed, len(p.by))
	}
}

// A machine's clock that is set by an hour changes nothing of which peers live.
func TestPeersWhenTheClockIsSet(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			in := func(d time.Duration) time.Time { return storetest.Reset(now.Add(d), by) }
			var p Peers
			p.Hear("another node", &Notice{All: true, Number: 1, Rooms: []NoticeRoom{{Room: "lobby", Count: 5}}})
			if n := p.In("lobby", in(time.Second)).Count; n != 5 {
				t.Errorf("%d readers at other nodes, want 5", n)
			}
			if changed := p.Expire(in(peerLife - time.Second)); len(changed) != 0 {
				t.Error("a node is given up too soon")
			}
			if changed := p.Expire(in(2 * peerLife)); len(changed) != 1 {
				t.Error("a node that is dead still counts")
			}
		})
	}
}
