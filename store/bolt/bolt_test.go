package bolt

import (
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

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, hub store.Hub, limits store.Limits) store.Store {
		return openAt(t, filepath.Join(t.TempDir(), "chat.db"), hub, limits)
	})
}
