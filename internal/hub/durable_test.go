package hub

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/bolt"
)

// newDiskHub is newTestHub on disk.
func newDiskHub(t testing.TB, limits store.Limits) *Hub {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chat.db")
	b, err := Open(limits, func(hub store.Hub, limits store.Limits) (store.Store, error) {
		return bolt.Open(path, "test", hub, limits, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// What resumes at the tail after a restart is answered from the ring as soon as
// anything was said since, and what is older from the store, with no more than
// is asked for.
func TestResumeAfterARestartAgainstAllThatIsStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	limits := store.Limits{Count: 1000, Rooms: 100}
	open := func(hub store.Hub, limits store.Limits) (store.Store, error) {
		return bolt.Open(path, "test", hub, limits, nil)
	}
	b, err := Open(limits, open)
	if err != nil {
		t.Fatal(err)
	}
	var sent []store.ID
	for i := range 600 {
		receipts, err := b.Publish(t.Context(), fmt.Sprint("r", i%3), store.Draft{Text: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, receipts[0].Message.ID)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = Open(limits, open); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	counted := &countingStore{Store: b.store}
	b.store = counted
	for _, behind := range []int{0, 3, 30, 300, 599} {
		sub := defaults("r0", "r1", "r2")
		sub.LastEventID = sent[len(sent)-1-behind].String()
		s, err := b.Subscribe(sub)
		if err != nil {
			t.Fatal(err)
		}
		counted.messages = 0
		got, gaps := split(t, s.pending(t))
		if len(gaps) > 0 || len(got) != behind {
			t.Errorf("one who is %d behind got %d messages, gaps %v", behind, len(got), gaps)
		}
		if counted.messages != behind {
			t.Errorf("one who is %d behind had %d messages read from the file", behind, counted.messages)
		}
		s.Close()
	}
}

// countingStore counts the messages that are read from a store.
type countingStore struct {
	store.Store
	messages int
}

// After implements [store.Store].
func (s *countingStore) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	page, err := s.Store.After(ctx, span, limit)
	s.messages += len(page.Messages)
	return page, err
}
