package bolt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

func filesIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A copy has no name once it has contents, so that nothing is left of it however it,
// or the process, ends.
func TestACopyHasNoName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
	storetest.MustAppend(t, s, "a", storetest.Text("%s", strings.Repeat("x", 30<<10)))
	copied, err := s.file.copy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, filepath.Dir(path)); !slices.Equal(got, []string{"chat.db"}) {
		t.Errorf("while a copy is open there are %v", got)
	}
	if info, err := copied.Stat(); err != nil || info.Size() < 30<<10 || info.Mode() != 0o600 {
		t.Errorf("the copy has %d bytes and the mode %v, %v", info.Size(), info.Mode(), err)
	}
	copied.close()
}

// longStore returns a store that takes many steps to copy.
func longStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(fastDir(t), "chat.db"), "test", new(storetest.Hub), storetest.Plenty, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	drafts := make([]store.Draft, 500)
	for i := range drafts {
		drafts[i] = storetest.Text("%s", strings.Repeat("x", 30<<10))
	}
	storetest.MustAppend(t, s, "a", drafts...)
	return s
}

// stepContext counts the calls of Done, and calls on at one of them.
type stepContext struct {
	context.Context
	asked, at int
	on        func()
}

func (c *stepContext) Done() <-chan struct{} {
	if c.asked++; c.asked == c.at {
		c.on()
	}
	return c.Context.Done()
}

// A copy ends when its context ends, and when its file is about to be closed. Nothing
// is left of it.
func TestACopyIsGivenUp(t *testing.T) {
	s := longStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	steps := &stepContext{Context: ctx, at: 5, on: cancel}
	if _, err := s.file.copy(steps); !errors.Is(err, context.Canceled) {
		t.Errorf("a copy that is given up ends with %v", err)
	}
	if steps.asked > steps.at {
		t.Errorf("it goes on for %d steps", steps.asked-steps.at)
	}
	closed := make(chan error, 1)
	steps = &stepContext{Context: t.Context(), at: 5, on: func() {
		go func() { closed <- s.Close() }()
		<-s.file.closing
	}}
	if _, err := s.file.copy(steps); !errors.Is(err, errClosing) {
		t.Errorf("a copy of a file that is closed ends with %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if got := filesIn(t, filepath.Dir(s.path)); !slices.Equal(got, []string{"chat.db"}) {
		t.Errorf("left are %v", got)
	}
}

// A copy has all contents of the file.
func TestACopyIsAllOfIt(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	sample(t, path, 900) // few enough that none is trimmed meanwhile
	s := openAt(t, path, new(storetest.Hub), store.Limits{Count: 200, Rooms: 100})
	copied, err := s.file.copy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer copied.close()
	content := make([]byte, 64<<20)
	n, _ := copied.ReadAt(content, 0)
	other := filepath.Join(fastDir(t), "copy.db")
	if err := os.WriteFile(other, content[:n], 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(other, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	records := 0
	err = s.file.db.View(func(want *bbolt.Tx) error {
		return db.View(func(got *bbolt.Tx) error {
			for _, name := range allBuckets {
				a, b := want.Bucket(name), got.Bucket(name)
				if a.Sequence() != b.Sequence() {
					t.Errorf("the sequence of %s is %d, want %d", name, b.Sequence(), a.Sequence())
				}
				c := b.Cursor()
				key, value := c.First()
				err := a.ForEach(func(k, v []byte) error {
					if string(k) != string(key) || string(v) != string(value) {
						t.Errorf("%s: %x is %x in place of %x", name, key, value, k)
					}
					records++
					key, value = c.Next()
					return nil
				})
				if err != nil || key != nil {
					t.Errorf("%s: there is more, %x, %v", name, key, err)
				}
			}
			return nil
		})
	})
	if err != nil || records < 900 {
		t.Errorf("%d records, %v", records, err)
	}
}

// Leftover copies of earlier versions are removed at the start, and nothing else.
func TestCopiesThatWereLeftAreRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	left := []string{"chat.db.backup-123", "chat.db.backup-0"}
	others := []string{"chat.db.backup", "chat.db.backup-", "chat.db.backup-1a", "chat.db.backup-1.gz", "other.db.backup-1", "backup-1", "chat.db.backup-2/x"}
	for _, name := range append(left, others...) {
		name = filepath.Join(filepath.Dir(path), name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openAt(t, path, new(storetest.Hub), storetest.Plenty)
	got := filesIn(t, filepath.Dir(path))
	for _, name := range left {
		if slices.Contains(got, name) {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err != nil {
			t.Errorf("%s was removed", name)
		}
	}
}
