package bolt

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// Every call ends with its context, even while the file grows: growing waits for a
// reader that takes long, and everybody else waits for that.
func TestEachWaitEndsWithItsContext(t *testing.T) {
	s := openAt(t, filepath.Join(fastDir(t), "chat.db"), new(storetest.Hub), storetest.Plenty)
	first := storetest.MustAppend(t, s, "a", store.Draft{Text: "x", Nonce: "n"})[0]
	reading, release := make(chan struct{}), make(chan struct{})
	longRead := make(chan error, 1)
	go func() {
		longRead <- s.file.db.View(func(*bbolt.Tx) error {
			close(reading)
			<-release
			return nil
		})
	}()
	<-reading
	// enough to make the file grow
	growing := make(chan error, 1)
	go func() {
		drafts := make([]store.Draft, 200)
		for i := range drafts {
			drafts[i] = storetest.Text("%s", strings.Repeat("x", 30<<10))
		}
		_, err := s.Append(context.Background(), "b", drafts)
		growing <- err
	}()
	after := func(ctx context.Context) error {
		_, err := s.After(ctx, store.Span{Rooms: []string{"a"}, UpTo: first.ID}, 1)
		return err
	}
	const moment = 20 * time.Millisecond
	stacks := make([]byte, 1<<20)
	for waiting := false; !waiting; time.Sleep(time.Millisecond) { // until the file waits for all readers
		for stack := range bytes.SplitSeq(stacks[:runtime.Stack(stacks, true)], []byte("\n\n")) {
			waiting = waiting || bytes.Contains(stack, []byte("(*DB).mmap")) && bytes.Contains(stack, []byte("(*RWMutex).Lock"))
		}
	}
	for name, call := range map[string]func(context.Context) error{
		"After":  after,
		"Before": func(ctx context.Context) error { _, err := s.Before(ctx, "a", first.ID.Next(), 1); return err },
		"Tail":   func(ctx context.Context) error { _, err := s.Tail(ctx, []string{"a"}, first.ID, 1); return err },
		"Find":   func(ctx context.Context) error { _, err := s.Find(ctx, "a", "", "n"); return err },
		"Rooms":  func(ctx context.Context) error { _, err := s.Rooms(ctx); return err },
		"Delete": func(ctx context.Context) error { return s.Delete(ctx, first.ID) },
		"Forget": func(ctx context.Context) error { return s.Forget(ctx, "a") },
		"Append": func(ctx context.Context) error {
			_, err := s.Append(ctx, "a", []store.Draft{storetest.Text("y")})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), moment)
		begin := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s ends with %v", name, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
		cancel()
	}
	close(release)
	if err := <-longRead; err != nil {
		t.Error(err)
	}
	if err := <-growing; err != nil {
		t.Error(err)
	}
	// no change whose caller gave up was made
	if page, err := s.Before(t.Context(), "a", s.State().Latest.Next(), 10); err != nil || len(page.Messages) != 1 {
		t.Errorf("there are %d messages, %v, want the first one", len(page.Messages), err)
	}
}

// Find returns when its context ends, even while the nonces of an earlier process are
// still being read.
func TestAWaitForNoncesEnds(t *testing.T) {
	s := new(Store)
	s.nonces.init()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Find(ctx, "a", "", "n")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}
