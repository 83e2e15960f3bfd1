package ssechat

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func TestWhatPeersHear(t *testing.T) {
	reads := func(room string, count int, names ...string) []noticeRoom {
		return []noticeRoom{{Room: room, Count: count, Names: names}}
	}
	for _, test := range []struct {
		name    string
		notices []notice
		ask     bool
		count   int
		names   []string
	}{
		{"an arrival", []notice{{Number: 1, Rooms: reads("a", 1, "kim")}}, true, 1, []string{"kim"}},
		{"one who has been silent says hello", []notice{{Hello: true}}, false, 0, nil},
		{"all that there is", []notice{{Number: 7, All: true, Rooms: reads("a", 2, "kim")}}, false, 2, []string{"kim"}},
		{"in parts", []notice{{Number: 7, All: true, Rooms: reads("b", 2)}, {Number: 8, Rooms: reads("a", 1)}}, false, 1, nil},
		{"a sign of life", []notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 7}}, false, 1, nil},
		{"a sign of life after a notice that was lost", []notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 8}}, true, 1, nil},
		{"a change after one that was lost", []notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 9, Rooms: reads("a", 3)}}, true, 3, nil},
		{"a departure", []notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 8, Rooms: reads("a", 0)}}, false, 0, nil},
		{"all that there is now", []notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Number: 8, All: true}}, false, 0, nil},
		{"a goodbye", []notice{{Number: 7, All: true, Rooms: reads("a", 1)}, {Bye: true}}, false, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p peers
			var ask bool
			for _, n := range test.notices {
				_, ask = p.hear("n", &n)
			}
			var got elsewhere
			if in := p.in("a", time.Now()); in != nil {
				got = *in
			}
			if ask != test.ask || got.count != test.count || !slices.Equal(got.names, test.names) {
				t.Errorf("ask %v, %+v; want %v, %d, %v", ask, got, test.ask, test.count, test.names)
			}
		})
	}
}

func TestAPeerThatFallsSilentIsForgotten(t *testing.T) {
	var p peers
	p.hear("n", &notice{Number: 1, All: true, Rooms: []noticeRoom{{Room: "a", Count: 3}}})
	later := time.Now().Add(peerLife + time.Second)
	if got := p.in("a", later); got != nil {
		t.Errorf("a dead peer counts %d", got.count)
	}
	if changed := p.expire(later); !slices.Equal(changed, []string{"a"}) || len(p.by) != 0 {
		t.Errorf("%v has changed, and %d peers are left", changed, len(p.by))
	}
}

func TestReadersAreToldOfWhatTheLogHasLost(t *testing.T) {
	b := newTestBroker(t, plenty)
	s := b.mustSubscribe(t, defaults("a"))
	defer s.close()
	first := b.mustPublish(t, "a", "first")
	if got := s.pending(t); !strings.Contains(got, "first") {
		t.Fatalf("read %q", got)
	}
	second := b.mustPublish(t, "a", "second")
	b.Missed(*b.latest.Load(), true)
	got := s.pending(t)
	gap, message := strings.Index(got, `{"reason":"rollback","oldest":"`+second.String()), strings.Index(got, "second")
	if gap < 0 || message < gap || strings.Contains(got, first.String()+"\n") {
		t.Errorf("after a rollback %q was read, want a gap, then the second message", got)
	}
	b.mustPublish(t, "a", "third")
	if got := s.pending(t); strings.Contains(got, "gap") || !strings.Contains(got, "third") {
		t.Errorf("then %q was read", got)
	}
}

func TestAReaderOfALogThatWasNotKnownReadsOn(t *testing.T) {
	b := newTestBroker(t, plenty)
	b.mustPublish(t, "a", "old")
	s := b.mustSubscribe(t, defaults("a"))
	defer s.close()
	s.cursor = store.ID{} // as it is while a log cannot be reached
	b.Began(*b.latest.Load())
	b.mustPublish(t, "a", "new")
	if got := s.pending(t); strings.Contains(got, "old") || !strings.Contains(got, "new") || strings.Contains(got, "gap") {
		t.Errorf("read %q, want the new message alone", got)
	}
}
