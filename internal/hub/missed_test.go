package hub

import (
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func TestReadersAreToldOfWhatTheLogHasLost(t *testing.T) {
	b := newTestHub(t, plenty)
	s := b.mustSubscribe(t, defaults("a"))
	defer s.Close()
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
	b := newTestHub(t, plenty)
	b.mustPublish(t, "a", "old")
	s := b.mustSubscribe(t, defaults("a"))
	defer s.Close()
	s.cursor = store.ID{} // as it is while a log cannot be reached
	b.Began(*b.latest.Load())
	b.mustPublish(t, "a", "new")
	if got := s.pending(t); strings.Contains(got, "old") || !strings.Contains(got, "new") || strings.Contains(got, "gap") {
		t.Errorf("read %q, want the new message alone", got)
	}
}
