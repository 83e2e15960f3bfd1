package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// records returns the number of records in a bucket.
func records(t *testing.T, s *Store, bucket []byte) (n int) {
	t.Helper()
	err := s.view(t.Context(), func(tx *bbolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(key, _ []byte) error {
			if _, _, ok := splitKey(key); ok || len(key) != keyLen {
				n++
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// until waits until a bucket has at most a number of records.
func until(t *testing.T, s *Store, bucket []byte, most int) {
	t.Helper()
	n := 0
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		if n = records(t, s, bucket); n <= most {
			return
		}
	}
	t.Fatalf("%d records are left in %s, want at most %d", n, bucket, most)
}

func TestIDsNeverGoBack(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
	before := storetest.MustAppend(t, s, "a", storetest.Text("x"))[0].ID
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // a bubble begins in the year 2000
		s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
		after := storetest.MustAppend(t, s, "a", storetest.Text("y"))[0].ID
		if !after.After(before) {
			t.Errorf("the id is %v, after %v", after, before)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestNoncesAreForgottenAfterTheirTime(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
		draft := store.Draft{Text: "x", Nonce: "n"}
		first := storetest.MustAppend(t, s, "a", draft)[0]
		time.Sleep(store.NonceLife / 2)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openAt(t, path, new(storetest.Hub), storetest.Plenty)
		time.Sleep(store.NonceLife/2 - time.Second)
		if again := storetest.MustAppend(t, s, "a", draft)[0]; again.ID != first.ID {
			t.Error("a nonce is forgotten too soon")
		}
		time.Sleep(2 * time.Second)
		if found, err := s.Find(t.Context(), "a", "", "n"); found.Repeat || err != nil {
			t.Errorf("a nonce is known too long: %+v, %v", found, err)
		}
		if again := storetest.MustAppend(t, s, "a", draft)[0]; again.ID == first.ID {
			t.Error("a nonce is known too long")
		}
		time.Sleep(store.NonceLife + 2*time.Minute)
		synctest.Wait()
		if n := records(t, s, noncesBucket); n != 0 {
			t.Errorf("%d nonces are left in the file of an idle store", n)
		}
		if n := len(s.nonces.first); n != 0 {
			t.Errorf("%d nonces are left in memory", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOldMessagesAreRemoved(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, path, new(storetest.Hub), store.Limits{Count: 100, Age: time.Minute, Rooms: 1000})
		for i := range 700 {
			storetest.MustAppend(t, s, fmt.Sprint("r", i%600), storetest.Text("x"))
		}
		last := s.State().Latest
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := records(t, s, messagesBucket); n != 0 {
			t.Errorf("%d old messages are left in the file", n)
		}
		page, err := s.After(t.Context(), store.Span{Rooms: []string{"r99"}, UpTo: last}, 10)
		if err != nil || len(page.Messages) > 0 || page.Lost[0] != last {
			t.Errorf("seen are %d messages, lost %v, %v; want lost %v", len(page.Messages), page.Lost, err, last)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Messages that retention hides are removed and their space is used again, so that the
// file stops growing.
func TestTheFileDoesNotGrow(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), store.Limits{Count: 100, Rooms: 1000})
	text := strings.Repeat("x", 500)
	flood := func() int64 {
		for i := range 400 {
			drafts := make([]store.Draft, 50)
			for j := range drafts {
				drafts[j].Text = text
			}
			storetest.MustAppend(t, s, fmt.Sprint("r", i%10), drafts...)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	first := flood()
	for range 5 {
		if size := flood(); size > 2*first {
			t.Fatalf("the file has grown from %d to %d bytes", first, size)
		}
	}
	if stored := int64(10 * 100 * 700); first > 10*stored {
		t.Errorf("the file has %d bytes for messages of %d", first, stored)
	}
	until(t, s, messagesBucket, 10*(100+12+50))
}

// The space of rooms that were forgotten, dropped or cut is freed, even after a
// restart.
func TestSpaceIsGivenBack(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	limits := store.Limits{Count: 1000, Rooms: 1000}
	s := openAt(t, path, new(storetest.Hub), limits)
	drafts := make([]store.Draft, 500)
	for i := range drafts {
		drafts[i].Text = "x"
	}
	for i := range 10 {
		storetest.MustAppend(t, s, fmt.Sprint("r", i), drafts...)
	}
	if err := s.Forget(t.Context(), "r3"); err != nil {
		t.Fatal(err)
	}
	until(t, s, messagesBucket, 9*500)
	limits.Rooms = 6
	s.Limit(limits)
	until(t, s, messagesBucket, 6*500)
	if n := records(t, s, roomsBucket); n != 6 {
		t.Errorf("%d rooms are left, want 6", n)
	}
	limits.Count = 10
	s.Limit(limits)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, new(storetest.Hub), limits)
	until(t, s, messagesBucket, 6*10)
	until(t, s, droppedBucket, 0)
}

func TestTheClockIsSet(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	synctest.Test(t, func(t *testing.T) {
		var clock storetest.Clock
		s, err := open(path, "test", new(storetest.Hub), storetest.Plenty, nil, clock.Now)
		if err != nil {
			t.Fatal(err)
		}
		storetest.RunClock(t, &clock, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// revisionsIn returns the number of revisions that the file has.
func revisionsIn(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.view(t.Context(), func(tx *bbolt.Tx) error {
		return tx.Bucket(messagesBucket).ForEach(func(key, _ []byte) error {
			if isRevision(key, decodeKey(key)) {
				n++
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Each changed message has one revision, however often it was changed, which goes with the
// message. Those of deleted messages go in their time.
func TestRevisionsGoWithTheirMessages(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	synctest.Test(t, func(t *testing.T) {
		const count = 50
		s := openAt(t, path, new(storetest.Hub), store.Limits{Count: count, Age: time.Hour, Rooms: 10})
		publish := func(n int, kind store.ChangeKind) {
			t.Helper()
			for range n {
				m := storetest.MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
				for range 3 {
					amend(t, s, m, store.Change{Kind: store.Append, Text: "x"})
				}
				amend(t, s, m, store.Change{Kind: kind, Text: "x"})
			}
		}
		most := func(most int) {
			t.Helper()
			synctest.Wait()
			if n := revisionsIn(t, s); n > most {
				t.Errorf("%d revisions are left, want at most %d", n, most)
			}
		}
		publish(500, store.React)
		most(count + count/8 + 1)
		publish(500, store.Delete)
		most(count + count/8 + 1 + 100)
		if err := s.Forget(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		publish(500, store.React)
		// the deletions may be newer than the forgotten room
		most(count + count/8 + 1 + 1)
		time.Sleep(2 * time.Hour)
		most(0)
		publish(10, store.Delete)
		time.Sleep(2 * time.Hour)
		most(0)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
