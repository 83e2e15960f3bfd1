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

// fastDir returns a folder for tests that do not care whether what is written
// is on a disk, in memory if the system has such a place.
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
}
