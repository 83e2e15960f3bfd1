package ssechat

import (
	"testing"
)

// When all readers have to ask the store at once, those who ask the same share
// one read, and those who fail come back at different times.
func TestAllReadersAskTheStoreAtOnce(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			s := serve(t, "store fragile\npark "+park)
			b := hubOf(t, "default")
			m := s.post(t, "/update", "x")
			const n = 200
			var readers []*client
			for range n {
				readers = append(readers, s.stream(t, "/subscribe", "Last-Event-ID: "+m.ID))
			}
			m = s.post(t, "/update", "all read live")
			for _, c := range readers {
				if got := c.next(t).Message(t); got != m {
					t.Fatalf("got %+v, want %+v", got, m)
				}
			}
			if park == "on" {
				waitParked(t, b, n)
			}
			fragileReads.Store(0)
			b.Missed(b.State().Latest, true)
			for _, c := range readers {
				if e := c.next(t); e.Name != "gap" {
					t.Fatalf("got %+v, want a gap", e)
				}
			}
			if reads := fragileReads.Load(); reads > n/10 {
				t.Errorf("%d readers read %d times", n, reads)
			}
			m = s.post(t, "/update", "y")
			for _, c := range readers {
				if got := c.next(t).Message(t); got != m {
					t.Fatalf("got %+v, want %+v", got, m)
				}
			}
		})
	}
}
