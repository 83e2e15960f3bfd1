package bolt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// send stores one draft and returns its receipt.
func send(t *testing.T, s *Store, room string, draft store.Draft) store.Receipt {
	t.Helper()
	receipts, err := s.Append(t.Context(), room, []store.Draft{draft})
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0]
}

// unpackFile unpacks a file of testdata to a temporary folder.
func unpackFile(t *testing.T, name string) (path string) {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(fastDir(t), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// backupHas reports whether a text is anywhere in a backup of the store's
// file.
func backupHas(t *testing.T, s *Store, text string) bool {
	t.Helper()
	backup, err := s.file.copy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer backup.close()
	content, err := io.ReadAll(io.NewSectionReader(backup, 0, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(content, []byte(text))
}

// testdata/owners0.db was created at noon by a version without owners: it has three
// messages in the room tea, the last without a nonce, and one in another room.
func TestAFileFromBeforeNoncesHadOwners(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 7, 1, 12, 1, 0, 0, time.UTC) }
	path := unpackFile(t, "owners0.db")
	openNow := func() *Store {
		t.Helper()
		s, err := open(path, "test", new(storetest.Hub), storetest.Plenty, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := openNow()
	for _, test := range []struct{ room, nonce, want string }{
		{"tea", "n1", `{"text":"one","timestamp":1782907200000,"id":"1782907200000-1","room":"tea","name":"kim","nonce":"n1"}`},
		{"tea", "n2", `{"text":"two","timestamp":1782907200000,"id":"1782907200000-2","room":"tea","nonce":"n2"}`},
		{"차", "n1", `{"text":"네","timestamp":1782907200000,"id":"1782907200000-4","room":"차","nonce":"n1"}`},
	} {
		if got := send(t, s, test.room, store.Draft{Text: "x", Nonce: test.nonce}); !got.Repeat || got.Message == nil || string(got.Message.JSON()) != test.want {
			t.Errorf("a repeat of %s in %s gets %+v, want %s", test.nonce, test.room, got, test.want)
		}
	}
	if got := send(t, s, "tea", store.Draft{Text: "of lee", Nonce: "n1", Owner: "name:lee"}); got.Repeat {
		t.Errorf("an owner is answered %s", got.Message.JSON())
	}
	deleted := store.ID{Ms: 1782907200000, N: 1}
	if err := errors.Join(s.Delete(t.Context(), deleted), s.Forget(t.Context(), "차"), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openNow()
	defer s.Close()
	if got := send(t, s, "tea", store.Draft{Text: "x", Nonce: "n1"}); got != (store.Receipt{ID: deleted, Repeat: true}) {
		t.Errorf("a repeat of what was deleted gets %+v", got)
	}
	if got := send(t, s, "차", store.Draft{Text: "x", Nonce: "n1"}); !got.Repeat || got.Message != nil {
		t.Errorf("a repeat of what was forgotten gets %+v", got)
	}
}

// No backup contains deleted messages, wherever they were kept.
func TestDeletedTextIsInNoBackup(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	limits := store.Limits{Count: 3, Rooms: 10}
	s := openAt(t, path, new(storetest.Hub), limits)
	secret := func(i int) string { return fmt.Sprintf("the secret of message %d", i) }
	draft := func(i int) store.Draft {
		return store.Draft{Text: secret(i), Nonce: fmt.Sprint("n", i), Owner: []store.Owner{"", "key:abc"}[i%2]}
	}
	var sent []store.ID
	for i := range 6 { // only their nonces keep three of them
		sent = append(sent, send(t, s, "a", draft(i)).ID)
		if !backupHas(t, s, secret(i)) {
			t.Fatalf("message %d is not in a backup", i)
		}
	}
	for _, i := range []int{0, 1, 4, 5} {
		if err := s.Delete(t.Context(), sent[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		if got, want := backupHas(t, s, secret(i)), i == 2 || i == 3; got != want {
			t.Errorf("message %d is in a backup: %v, want %v", i, got, want)
		}
	}
	if err := s.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	until(t, s, messagesBucket, 0)
	for i := range 6 {
		if backupHas(t, s, secret(i)) {
			t.Errorf("message %d of a forgotten room is in a backup", i)
		}
		if got := send(t, s, "a", draft(i)); got != (store.Receipt{ID: sent[i], Repeat: true}) {
			t.Errorf("a repeat of message %d gets %+v", i, got)
		}
	}
}

// All messages are forgotten, even if more nonces keep them than fit in a transaction.
func TestForgettingManyNonces(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), store.Limits{Count: 10, Rooms: 10})
	drafts := make([]store.Draft, 2*buryStep+100)
	for i := range drafts {
		drafts[i] = store.Draft{Text: "x", Nonce: fmt.Sprint(i)}
	}
	storetest.MustAppend(t, s, "a", drafts...)
	storetest.MustAppend(t, s, "b", drafts[0])
	if err := s.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	again, err := s.Append(t.Context(), "a", drafts)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range again {
		if !got.Repeat || got.Message != nil {
			t.Fatalf("the repeat of message %d gets %+v", i, got)
		}
	}
	if got := send(t, s, "b", drafts[0]); got.Message == nil {
		t.Error("a message of another room is forgotten")
	}
}

// A message that is stored, forgotten and repeated in one transaction is forgotten.
func TestForgettingInOneTransaction(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
	draft := store.Draft{Text: "x", Nonce: "n", Owner: "name:kim"}
	var first, again []store.Receipt
	err := s.submit(t.Context(), cost{records: 3}, func(tx *transaction) (err error) {
		if first, err = tx.append("a", []store.Draft{draft}); err != nil {
			return err
		}
		if err := tx.buryIn("a", tx.keptIn("a")); err != nil {
			return err
		}
		again, err = tx.append("a", []store.Draft{draft})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := store.Receipt{ID: first[0].ID, Repeat: true}
	if later := send(t, s, "a", draft); again[0] != want || later != want {
		t.Errorf("repeats get %+v and later %+v, want %+v", again[0], later, want)
	}
}
