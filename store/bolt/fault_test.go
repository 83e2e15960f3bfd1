//go:build linux

package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// sample creates a file with messages in some rooms, and returns the file's contents
// and the messages.
func sample(t testing.TB, path string, messages int) ([]byte, []*store.Message) {
	t.Helper()
	s, err := Open(path, "test", new(storetest.Hub), store.Limits{Count: 200, Rooms: 100}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var stored []*store.Message
	for i := range messages {
		draft := storetest.Text("%d %s", i, strings.Repeat("x", i%300))
		if i%3 == 0 {
			draft.Nonce = fmt.Sprint(i)
		}
		stored = append(stored, storetest.MustAppend(t, s, fmt.Sprint("r", i%5), draft)[0])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, stored
}

// The error for a file that cannot be used has its name and the reason.
func TestFilesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	good, _ := sample(t, filepath.Join(dir, "good.db"), 300)
	foreign := func(path string) error {
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			return err
		}
		defer db.Close()
		return db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("updates"))
			if err != nil {
				return err
			}
			return b.Put([]byte("k"), []byte("v"))
		})
	}
	newer := func(path string) error {
		if err := os.WriteFile(path, good, 0o600); err != nil {
			return err
		}
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			return err
		}
		defer db.Close()
		return db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(logBucket).Put(formatKey, seal(formatKey, []byte{format + 1}))
		})
	}
	write := func(content []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, content, 0o600) }
	}
	for name, test := range map[string]struct {
		make func(path string) error
		want string
	}{
		"a text":                   {write([]byte(strings.Repeat("hello, world\n", 4000))), "not a bolt file"},
		"a short text":             {write([]byte("hello")), "not a bolt file"},
		"only zeros":               {write(make([]byte, 1<<16)), "not a bolt file"},
		"another program's":        {foreign, `bolt file of another program: it has a bucket "updates"`},
		"a later version's":        {newer, "format 03"},
		"a folder":                 {func(path string) error { return os.Mkdir(path, 0o700) }, "is a directory"},
		"a device":                 {func(path string) error { return os.Symlink(os.DevNull, path) }, "not a regular file"},
		"one without its end":      {write(good[:len(good)/2]), "cut off"},
		"one with its head only":   {write(good[:100]), "damaged"},
		"one without its first":    {write(append(make([]byte, 4096), good[4096:]...)), "the first page"},
		"one without its second":   {write(slices.Concat(good[:4096], make([]byte, 4096), good[8192:])), "the second page"},
		"one of zeros behind that": {write(append(slices.Clone(good[:8192]), make([]byte, len(good)-8192)...)), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "_"))
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			for range 2 {
				s, err := Open(path, "test", new(storetest.Hub), storetest.Plenty, nil)
				if err == nil {
					_ = s.Close()
					t.Fatal("it is taken")
				}
				if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("the error is %q, which lacks the path or %q", err, test.want)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestAFolderThatIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "chat.db")
	if _, err := Open(path, "test", new(storetest.Hub), storetest.Plenty, nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
}

// A read-only file is refused, and only the owner has access to a new one.
func TestPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	sample(t, path, 3)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("a new file is %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		// the thread keeps its user and is not used again: it ends with the goroutine
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			_ = unix.Setfsuid(65534)
		}
		_, err := Open(path, "test", new(storetest.Hub), storetest.Plenty, nil)
		done <- err
	}()
	if err := <-done; !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
}

// Two hubs of one process cannot share a file, under whatever path.
func TestTwoHubsOnOneFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "chat.db"), filepath.Join(dir, "link.db")
	first, err := Open(path, "first", new(storetest.Hub), storetest.Plenty, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, link} {
		_, err := Open(path, "second", new(storetest.Hub), storetest.Plenty, nil)
		if err == nil || !strings.Contains(err.Error(), `"first"`) || !strings.Contains(err.Error(), `"second"`) || !strings.Contains(err.Error(), path) {
			t.Errorf("the error is %v", err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, link, new(storetest.Hub), storetest.Plenty)
}

// Wherever a file is damaged, either it is refused, or all messages are unaffected.
// The store never returns only some of them, or wrong ones.
func TestDamage(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	good, stored := sample(t, path, 500)
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for round := range 500 {
		content := slices.Clone(good)
		at := random.IntN(len(content))
		page := at &^ 4095
		what := ""
		switch random.IntN(5) {
		case 0:
			what = fmt.Sprintf("bit flipped at %d", at)
			content[at] ^= 1 << random.IntN(8)
		case 1:
			what = fmt.Sprintf("some bytes at %d", at)
			for i := at; i < min(len(content), at+16); i++ {
				content[i] = byte(random.Uint32())
			}
		case 2:
			what = fmt.Sprintf("the head of the page at %d", page)
			for i := range 64 {
				content[page+i] ^= byte(random.Uint32() & random.Uint32() & random.Uint32())
			}
		case 3:
			what = fmt.Sprintf("a page of zeros at %d", page)
			clear(content[page:min(len(content), page+4096)])
		case 4:
			from := random.IntN(len(content)) &^ 4095
			what = fmt.Sprintf("the page at %d in place of that at %d", from, page)
			copy(content[page:min(len(content), page+4096)], content[from:])
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, "test", new(storetest.Hub), store.Limits{Count: 200, Rooms: 100}, nil)
		if err != nil {
			refused++
			continue
		}
		checkSample(t, s, stored, what)
		if err := s.Close(); err != nil {
			t.Fatalf("round %d, %s: %v", round, what, err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d refused", refused)
	if refused < 100 {
		t.Error("that is too few for a test")
	}
}

func checkSample(t *testing.T, s *Store, stored []*store.Message, what string) {
	t.Helper()
	for r := range 5 {
		room := fmt.Sprint("r", r)
		span := store.Span{Rooms: []string{room}, UpTo: stored[len(stored)-1].ID}
		page, err := s.After(t.Context(), span, 1000)
		if err != nil {
			t.Errorf("%s: taken, and then %v", what, err)
			return
		}
		var want []*store.Message
		for _, m := range stored {
			if m.Room == room {
				want = append(want, m)
			}
		}
		if len(page.Messages) != len(want) {
			t.Errorf("%s: %d messages of %d in %s", what, len(page.Messages), len(want), room)
			return
		}
		for i, m := range page.Messages {
			if m.ID != want[i].ID || !bytes.Equal(m.Frame(), want[i].Frame()) {
				t.Errorf("%s: %q is served as %q", what, want[i].Frame(), m.Frame())
				return
			}
		}
		if id := storetest.MustAppend(t, s, room, storetest.Text("more"))[0].ID; !id.After(span.UpTo) {
			t.Errorf("%s: the next id is %v", what, id)
		}
	}
}

// A file that is damaged while it is open takes the hub out of service: the store
// neither reads nor writes it any more.
func TestDamageWhileOpen(t *testing.T) {
	for name, damage := range map[string]func(*os.File, int64) error{
		"overwritten": func(f *os.File, size int64) error {
			_, err := f.WriteAt(bytes.Repeat([]byte{0x55}, int(size-8192)), 8192)
			return err
		},
		"cut off": func(f *os.File, _ int64) error { return f.Truncate(8192) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "chat.db")
			sample(t, path, 2000)
			s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(f, info.Size()); err != nil {
				t.Fatal(err)
			}
			if page, err := s.Before(t.Context(), "r1", s.State().Latest, 1000); err == nil {
				t.Errorf("%d messages are served", len(page.Messages))
			}
			_, readErr := s.Tail(t.Context(), []string{"r2"}, s.State().Latest, 1)
			_, writeErr := s.Append(t.Context(), "r3", []store.Draft{storetest.Text("x")})
			for _, err := range []error{readErr, writeErr} {
				if err == nil || !strings.Contains(err.Error(), "out of service") || strings.Contains(err.Error(), path) {
					t.Errorf("the error is %v", err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if _, err := Open(path, "test", new(storetest.Hub), storetest.Plenty, nil); err == nil {
				t.Error("the damaged file is opened again")
			}
		})
	}
}

// A panic does not prove damage: the error has its reason, and the log its stack.
func TestAPanicIsLoggedWithItsStack(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	s, err := Open(filepath.Join(t.TempDir(), "chat.db"), "test", new(storetest.Hub), storetest.Plenty, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.read(func(*bbolt.Tx) error { panic("page 7 already freed") })
	for _, want := range []string{"out of service", "page 7 already freed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
	if errors.Is(err, errDamaged) {
		t.Errorf("the error claims damage: %v", err)
	}
	if _, err := s.Append(t.Context(), "a", []store.Draft{storetest.Text("x")}); err == nil {
		t.Error("the store goes on after a panic")
	}
	if logs.Len() != 1 || !strings.Contains(fmt.Sprint(logs.All()[0].ContextMap()["stack"]), "TestAPanicIsLoggedWithItsStack") {
		t.Errorf("what is logged is %v, want one line with the stack", logs.All())
	}
}
