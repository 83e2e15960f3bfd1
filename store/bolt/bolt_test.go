package bolt

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// openAt opens a file that is closed when the test ends.
func openAt(t testing.TB, path string, hub store.Hub, limits store.Limits) *Store {
	t.Helper()
	s, err := Open(path, "test", hub, limits, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fastDir returns a folder for tests that need no disk. It is in memory if the system
// has such a place.
func fastDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sse-chat-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestStore(t *testing.T) {
	open := func(t *testing.T, hub store.Hub, limits store.Limits) store.Store {
		return openAt(t, filepath.Join(fastDir(t), "chat.db"), hub, limits)
	}
	reopen := func(t *testing.T, s store.Store, hub store.Hub, limits store.Limits) store.Store {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return openAt(t, s.(*Store).path, hub, limits)
	}
	storetest.Run(t, open)
	storetest.RunDurable(t, open, reopen)
	t.Run("a change without effect", func(t *testing.T) { storetest.RunIneffective(t, open, reopen) })
}

// Messages that a lower limit has hidden stay hidden when the limit is raised again,
// even before they are removed.
func TestACutStaysWhileItIsMade(t *testing.T) {
	s := openAt(t, filepath.Join(fastDir(t), "chat.db"), new(storetest.Hub), storetest.Plenty)
	for range 150 {
		storetest.MustAppend(t, s, "a", storetest.Text("1"), storetest.Text("2"), storetest.Text("3"))
		few := storetest.Plenty
		few.Count = 1
		s.Limit(few)
		s.Limit(storetest.Plenty)
		for range 30 {
			page, err := s.Before(t.Context(), "a", store.ID{Ms: 1 << 60}, 10)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(page.Messages); n != 1 {
				t.Fatalf("%d messages are seen, want 1", n)
			}
		}
	}
}
