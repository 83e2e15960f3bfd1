//go:build linux

package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// peerHub is a hub that records whether its store can be reached.
type peerHub struct {
	storetest.Hub
	reached chan error
}

func newPeerHub() *peerHub { return &peerHub{reached: make(chan error, 10)} }

func (h *peerHub) Reached(err error)   { h.reached <- err }
func (*peerHub) Told(string, []byte)   {}
func (*peerHub) Began(store.ID)        {}
func (*peerHub) Missed(store.ID, bool) {}
func (*peerHub) Skipped(store.ID)      {}
func (h *peerHub) wait(t *testing.T) (err error) {
	t.Helper()
	select {
	case err = <-h.reached:
	case <-time.After(30 * time.Second):
		t.Fatal("the hub was told nothing")
	}
	return err
}

// openLogged opens a file, and also returns the log.
func openLogged(t *testing.T, path string, hub store.Hub) (*Store, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	s, err := Open(path, "test", hub, storetest.Plenty, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, logs
}

// lose has ways in which an open file may disappear, and how to restore it.
var lose = map[string]struct {
	lose, bringBack func(path string) error
}{
	"renamed": {
		func(path string) error { return os.Rename(path, path+".old") },
		func(path string) error { return os.Rename(path+".old", path) },
	},
	"replaced": {
		func(path string) error {
			if err := os.Link(path, path+".old"); err != nil {
				return err
			}
			if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path) // as mv does
		},
		func(path string) error { return os.Rename(path+".old", path) },
	},
	"in a folder that is renamed": {
		func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") },
		func(path string) error { return os.Rename(filepath.Dir(path)+".old", filepath.Dir(path)) },
	},
	"removed": {os.Remove, nil},
}

// No message is acknowledged that the next start would not find because the file is
// not in its place.
func TestAFileThatIsGoneTakesNoMessages(t *testing.T) {
	for name, test := range lose {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data", "chat.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			hub := newPeerHub()
			s, logs := openLogged(t, path, hub)
			first := storetest.MustAppend(t, s, "a", storetest.Text("x"))[0]
			if err := test.lose(path); err != nil {
				t.Fatal(err)
			}
			refused := func() {
				t.Helper()
				_, err := s.Append(t.Context(), "a", []store.Draft{storetest.Text("lost")})
				if err == nil || !strings.Contains(err.Error(), "out of service until a restart") || strings.Contains(err.Error(), path) {
					t.Errorf("a message is answered %v", err)
				}
			}
			refused()
			if err := hub.wait(t); !errors.Is(err, errGone) {
				t.Errorf("the hub is told %v", err)
			}
			if got := len(hub.Delivered()); got != 1 {
				t.Errorf("%d messages were delivered, want 1", got)
			}
			if test.bringBack == nil {
				return
			}
			if err := test.bringBack(path); err != nil {
				t.Fatal(err)
			}
			refused()
			if n := logs.FilterLevelExact(zap.ErrorLevel).Len(); n != 1 {
				t.Errorf("%d errors are logged, want 1: %v", n, logs.All())
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openAt(t, path, new(storetest.Hub), storetest.Plenty)
			page, err := s.Before(t.Context(), "a", first.ID.Next(), 10)
			if err != nil || len(page.Messages) != 1 {
				t.Errorf("after a restart %d messages are there, %v, want 1", len(page.Messages), err)
			}
			storetest.MustAppend(t, s, "a", storetest.Text("y"))
		})
	}
}

// The store notices that its file is gone even if nobody publishes.
func TestAFileThatIsGoneIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	hub := newPeerHub()
	s, logs := openLogged(t, path, hub)
	for swept := false; !swept; time.Sleep(time.Millisecond) { // until nothing is written any more
		s.mu.Lock()
		swept = len(s.cuts) == 0
		s.mu.Unlock()
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := hub.wait(t); !errors.Is(err, errGone) {
		t.Errorf("the hub is told %v", err)
	}
	if took := time.Since(begin); took > 5*watchEvery {
		t.Errorf("that took %s", took)
	}
	if got := logs.FilterLevelExact(zap.ErrorLevel).All(); len(got) != 1 || got[0].ContextMap()["file"] != path {
		t.Errorf("logged is %v", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// If a backup that other users can read is restored, only its owner has access from
// then on, and the log says so.
func TestAFileThatOthersCouldOpenIsTightened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	sample(t, path, 3)
	for mode, want := range map[os.FileMode]os.FileMode{0o644: 0o600, 0o660: 0o600, 0o666: 0o600, 0o700: 0o700, 0o600: 0o600} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		s, logs := openLogged(t, path, new(storetest.Hub))
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("the mode %v has become %v, %v", mode, info.Mode(), err)
		}
		warnings := logs.FilterLevelExact(zap.WarnLevel).All()
		if mode == want {
			if len(warnings) > 0 {
				t.Errorf("of the mode %v it warns %v", mode, warnings)
			}
		} else if len(warnings) != 1 || warnings[0].ContextMap()["file"] != path || warnings[0].ContextMap()["mode"] != mode.String() {
			t.Errorf("of the mode %v it warns %v", mode, warnings)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// If the store may not change the mode, it logs a warning and continues.
func TestAFileOfAnotherUserThatAllMayOpen(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can act as another user")
	}
	path := filepath.Join(t.TempDir(), "chat.db")
	sample(t, path, 3)
	for _, name := range []string{path, filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	core, logs := observer.New(zap.WarnLevel)
	done := make(chan error)
	go func() {
		// the thread keeps its user and is not used again: it ends with the goroutine
		runtime.LockOSThread()
		_ = unix.Setfsuid(65534)
		s, err := Open(path, "test", new(storetest.Hub), storetest.Plenty, zap.New(core))
		if err == nil {
			err = s.Close()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got := logs.All()
	if len(got) != 1 || got[0].ContextMap()["file"] != path || got[0].ContextMap()["mode"] != "-rwxrwxrwx" || got[0].ContextMap()["error"] == nil {
		t.Errorf("logged is %v", got)
	}
}
