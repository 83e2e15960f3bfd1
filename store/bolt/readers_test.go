package bolt

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// A reader who began before a removal reads what was there then, for as long as it takes,
// and the text is overwritten after that.
func TestReadersSeeTheirTransactionWhole(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
	// a file that grows would wait for the reader
	for range 10 {
		storetest.MustAppend(t, s, "b", storetest.Text("%s", strings.Repeat("x", 60<<10)))
	}
	if err := s.Forget(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	until(t, s, messagesBucket, 0)
	m := storetest.MustAppend(t, s, "c", store.Draft{Text: "secret", Owner: kim})[0]
	reading, release := make(chan struct{}), make(chan struct{})
	read := make(chan error, 1)
	go func() {
		read <- s.file.view(func(tx *bbolt.Tx) error {
			close(reading)
			<-release
			key := messageKey(2, m.ID) // of the second room
			post, err := getPost(key, tx.Bucket(messagesBucket).Get(key))
			if err == nil && post.Text != "secret" {
				err = fmt.Errorf("it reads %q", post.Text)
			}
			return err
		})
	}()
	<-reading
	amend(t, s, m, store.Change{Kind: store.Edit, Text: "new", HasText: true})
	for i := range 10 {
		transact(t, s, 3)
		amend(t, s, m, store.Change{Kind: store.Edit, Text: fmt.Sprint("newer ", i), HasText: true})
	}
	if !fileHas(t, path, "secret") {
		t.Error("the text is not there any more")
	}
	close(release)
	if err := <-read; err != nil {
		t.Error(err)
	}
	transact(t, s, 3)
	if fileHas(t, path, "secret") {
		t.Error("the text is still in the file")
	}
}

// Whatever is removed while others read, all records of each transaction are intact.
func TestReadersWhileMuchIsRemoved(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), store.Limits{Count: 100, Rooms: 10})
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for w := range 3 {
		working.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for ctx.Err() == nil {
				m := storetest.MustAppend(t, s, fmt.Sprint("r", random.IntN(5)), store.Draft{Text: strings.Repeat("x", random.IntN(9000)), Owner: kim})[0]
				amend(t, s, m, store.Change{Kind: store.Edit, Text: strings.Repeat("y", random.IntN(9000)), HasText: true})
				if random.IntN(3) == 0 {
					amend(t, s, m, store.Change{Kind: store.Delete})
				}
			}
		})
	}
	for w := range 2 {
		working.Go(func() {
			for ctx.Err() == nil {
				err := s.file.view(func(tx *bbolt.Tx) error {
					time.Sleep(time.Duration(w*10) * time.Millisecond)
					for _, name := range allBuckets {
						if err := tx.Bucket(name).ForEach(func(key, value []byte) error {
							_, err := unseal(key, value)
							return err
						}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		if complete, err := checkCopy(s.file); err != nil || !complete {
			t.Fatalf("a backup is found whole: %v, %v", complete, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	working.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if complete, err := check(bytes.NewReader(content), int64(len(content))); err != nil || !complete {
		t.Errorf("the file is found whole: %v, %v", complete, err)
	}
}
