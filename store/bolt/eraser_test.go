package bolt

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

var kim = store.OwnerByName("kim")

// fileHas reports whether a text is anywhere in a file, as the next reader of the disk
// would find it.
func fileHas(t *testing.T, path, text string) bool {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(content, []byte(text))
}

// amend makes a change in a message.
func amend(t *testing.T, s *Store, m *store.Message, c store.Change) {
	t.Helper()
	c.By, c.MaxText = kim, 64<<10
	if _, err := s.Change(t.Context(), m.Room, m.ID, c); err != nil {
		t.Fatal(err)
	}
}

// transact makes transactions that only publish.
func transact(t *testing.T, s *Store, count int) {
	t.Helper()
	for range count {
		storetest.MustAppend(t, s, "other", storetest.Text("x"))
	}
}

// removals are the ways in which a text is removed. Each does it in one transaction.
var removals = map[string]func(*testing.T, *Store, *store.Message){
	"edited": func(t *testing.T, s *Store, m *store.Message) {
		amend(t, s, m, store.Change{Kind: store.Edit, Text: "new", HasText: true})
	},
	"deleted by its author": func(t *testing.T, s *Store, m *store.Message) {
		amend(t, s, m, store.Change{Kind: store.Delete})
	},
	"deleted by a moderator": func(t *testing.T, s *Store, m *store.Message) {
		if err := s.Delete(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
	},
}

// What was replaced or deleted is nowhere in the file once the second transaction after
// that is done: neither in the message, nor in its nonce's copy, nor in free pages, where
// there are older copies of each page.
func TestRemovedTextIsOverwritten(t *testing.T) {
	for name, remove := range removals {
		for _, size := range []int{1, 2000} {
			t.Run(fmt.Sprint(name, ", size ", size), func(t *testing.T) {
				path := filepath.Join(fastDir(t), "chat.db")
				s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
				for round := range 5 {
					secret := fmt.Sprintf("the secret %d. ", round)
					draft := store.Draft{Text: strings.Repeat(secret, size), Owner: kim, Nonce: fmt.Sprint(round)}
					m := storetest.MustAppend(t, s, "a", draft)[0]
					for i := range 20 { // which leaves copies
						storetest.MustAppend(t, s, "a", storetest.Text("%d", i))
						amend(t, s, m, store.Change{Kind: store.Append, Text: "."})
					}
					if !fileHas(t, path, secret) {
						t.Fatal("the text is not in the file")
					}
					remove(t, s, m)
					transact(t, s, 2)
					if fileHas(t, path, secret) {
						t.Fatalf("%q is still in the file", secret)
					}
				}
			})
		}
	}
}

// The same is true of what only a nonce keeps, of data, and of who took a reaction back.
func TestOtherRemovedBytesAreOverwritten(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), store.Limits{Count: 3, Rooms: 10})
	m := storetest.MustAppend(t, s, "a", store.Draft{Text: "secret text", Owner: kim, Nonce: "n"})[0]
	for i := range 50 {
		storetest.MustAppend(t, s, "a", storetest.Text("%d %s", i, strings.Repeat("x", 300)))
	}
	amend(t, s, m, store.Change{Kind: store.Delete})
	m = storetest.MustAppend(t, s, "a", store.Draft{Text: "x", Data: `"secret data"`, Owner: kim})[0]
	amend(t, s, m, store.Change{Kind: store.Edit, Data: "1"})
	amend(t, s, m, store.Change{Kind: store.React, Text: "secret reaction"})
	amend(t, s, m, store.Change{Kind: store.Unreact, Text: "secret reaction"})
	transact(t, s, 2)
	if fileHas(t, path, "secret") {
		t.Error("what was removed is still in the file")
	}
}

// What was forgotten is overwritten after it was removed, even if the process ends in
// between, or the room makes room for another one.
func TestForgottenTextIsOverwritten(t *testing.T) {
	for _, drop := range []bool{false, true} {
		t.Run(fmt.Sprint("dropped ", drop), func(t *testing.T) {
			path := filepath.Join(fastDir(t), "chat.db")
			limits := store.Limits{Count: 100_000, Rooms: 2}
			s := openAt(t, path, new(storetest.Hub), limits)
			drafts := make([]store.Draft, 3000)
			for i := range drafts {
				drafts[i] = store.Draft{Text: fmt.Sprint("secret ", i), Owner: kim}
			}
			messages := storetest.MustAppend(t, s, "a", drafts...)
			for _, m := range messages[:100] {
				amend(t, s, m, store.Change{Kind: store.Append, Text: "."})
			}
			storetest.MustAppend(t, s, "b", storetest.Text("x"))
			if err := s.Forget(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if drop {
				storetest.MustAppend(t, s, "b", storetest.Text("x"))
				storetest.MustAppend(t, s, "c", storetest.Text("x"))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openAt(t, path, new(storetest.Hub), limits)
			until(t, s, messagesBucket, 3)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if fileHas(t, path, "secret") {
				t.Error("what was forgotten is still in the file")
			}
		})
	}
}

// Nothing has to be published, and no store closed, for removed text to be overwritten.
func TestRemovedTextIsOverwrittenInAnIdleStore(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
	m := storetest.MustAppend(t, s, "a", store.Draft{Text: "secret", Owner: kim})[0]
	amend(t, s, m, store.Change{Kind: store.Delete})
	for begin := time.Now(); fileHas(t, path, "secret"); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			t.Fatal("it is still in the file")
		}
	}
	m = storetest.MustAppend(t, s, "a", store.Draft{Text: "secret", Owner: kim})[0]
	amend(t, s, m, store.Change{Kind: store.Delete})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if fileHas(t, path, "secret") {
		t.Error("it is still in the file after it was closed")
	}
}

// While nobody removes anything, nothing is read or written for the eraser.
func TestAnEraserIsIdleUntilSomethingIsRemoved(t *testing.T) {
	s := openAt(t, filepath.Join(fastDir(t), "chat.db"), new(storetest.Hub), storetest.Plenty)
	m := storetest.MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
	for range 10 {
		amend(t, s, m, store.Change{Kind: store.Append, Text: "."})
	}
	transact(t, s, 10)
	if e := &s.eraser; e.clean != nil || e.due != nil || e.pending() {
		t.Errorf("it works: %+v", e)
	}
}

// A transaction that fails may have written to free pages that held zeros.
func TestAnEraserForgetsAfterAFailure(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
	m := storetest.MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
	amend(t, s, m, store.Change{Kind: store.Edit, Text: "new", HasText: true})
	transact(t, s, 2)
	failure := fmt.Errorf("it fails")
	err := s.submit(t.Context(), cost{}, func(tx *transaction) error {
		// what bbolt may have written when it fails late
		info, err := s.file.disk.Stat()
		if err != nil {
			return err
		}
		free, meta, err := freePages(s.file.disk, info.Size())
		if err != nil {
			return err
		}
		for !free.empty() {
			page, count := free.run(1)
			if _, err := s.file.disk.WriteAt([]byte("secret"), int64(page*meta.pageSize)); err != nil {
				return err
			}
			free.cut(page, count)
		}
		return failure
	})
	if err != failure { //nolint:errorlint // as it is
		t.Fatal(err)
	}
	transact(t, s, 3)
	if fileHas(t, path, "secret") {
		t.Error("it is still in the file")
	}
}

// At whatever moment the process ends, both of the two last transactions are intact.
func TestBothLastTransactionsStayIntact(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), store.Limits{Count: 20, Rooms: 10})
	random := rand.New(rand.NewPCG(1, 2))
	overwritten := 0
	for range 300 {
		m := storetest.MustAppend(t, s, fmt.Sprint("r", random.IntN(5)), store.Draft{Text: strings.Repeat("x", random.IntN(9000)), Owner: kim})[0]
		removal := []store.Change{{Kind: store.Edit, Text: "new", HasText: true}, {Kind: store.Delete}}[random.IntN(2)]
		if random.IntN(3) > 0 {
			amend(t, s, m, removal)
		}
		err := s.submit(t.Context(), cost{}, func(*transaction) error {
			// now the eraser has written, and bbolt has not
			if !s.eraser.clean.empty() {
				overwritten++
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for page := range int64(2) {
				meta, err := parseMeta(bytes.NewReader(content), page*int64(os.Getpagesize()))
				if err != nil {
					return err
				}
				c := &checker{r: bytes.NewReader(content), meta: meta, seen: newPageSet(meta.pages), until: time.Now().Add(time.Hour)}
				if _, err := c.tree(meta.root, nil, nil, 0, true); err != nil {
					return fmt.Errorf("transaction %d: %w", meta.txid, err)
				}
				if err := c.freelist(); err != nil {
					return fmt.Errorf("transaction %d: %w", meta.txid, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if overwritten < 100 {
		t.Errorf("pages were overwritten %d times, which is too few for a test", overwritten)
	}
}
