package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/bolt"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

// replacedStore is a store whose log was replaced.
type replacedStore struct{ *bolt.Store }

func (replacedStore) Witness(_ context.Context, id store.ID) (bool, error) { return id.IsZero(), nil }

// That the log was replaced is told even if the site is away meanwhile.
func TestAReplacedLogIsToldLater(t *testing.T) {
	path, b := filepath.Join(t.TempDir(), "chat.db"), chattest.NewBackend(t, "")
	h := openHub(t, path, plenty)
	h.direct(t, b)
	h.publish(t, "a", "1")
	h.has(t, b, "a")
	h.close()
	b.AnswerStatus(http.StatusInternalServerError)
	open := func() {
		h = openHub(t, path, plenty)
		h.sender.store = replacedStore{h.store.(*bolt.Store)}
		h.direct(t, b)
	}
	open()
	before := b.Requests()
	chattest.Eventually(t, "it was tried", func() bool { return b.Requests() > before+1 })
	h.close()
	b.Answer(nil)
	open()
	chattest.Eventually(t, "the gap is told", func() bool { return slices.Contains(b.Gaps(), rollback) })
}

// hangingStore is a store that cannot be read.
type hangingStore struct {
	store.Store

	asked chan struct{}
}

func (s hangingStore) After(ctx context.Context, _ store.Span, _ int) (store.Page, error) {
	wake.Up(s.asked)
	<-ctx.Done()
	return store.Page{}, ctx.Err()
}

// An exit does not wait for a store that hangs.
func TestAnExitDoesNotWaitForTheStore(t *testing.T) {
	b := chattest.NewBackend(t, "")
	h := openHub(t, "", plenty)
	hanging := hangingStore{h.store, make(chan struct{}, 1)}
	h.sender.store = hanging
	h.direct(t, b)
	b.AnswerStatus(http.StatusInternalServerError)
	for i := range 2 * maxTail { // more than a tail has
		h.publish(t, "a", fmt.Sprint(i))
	}
	<-hanging.asked
	begin := time.Now()
	h.sender.End()
	h.sender.Close()
	if took := time.Since(begin); took > h.sender.limits.store/2 {
		t.Errorf("it took %s", took)
	}
}

// A new site does not wait for as long as the one before has failed.
func TestANewSiteBeginsWithShortPauses(t *testing.T) {
	b := chattest.NewBackend(t, "")
	h := openHub(t, "", plenty)
	h.sender.limits.shortest, h.sender.limits.longest = 50*time.Millisecond, time.Minute
	h.direct(t, b)
	b.AnswerStatus(http.StatusInternalServerError)
	h.publish(t, "a", "1")
	chattest.Eventually(t, "it has failed for long", func() bool { return b.Requests() >= 6 }) // then it waits for 1.6 s
	other := chattest.NewBackend(t, "")
	other.Answer(func(w http.ResponseWriter, _ *http.Request) {
		other.Answer(nil)
		w.WriteHeader(http.StatusInternalServerError)
	})
	begin := time.Now()
	h.sender.Direct(&Target{URL: other.URL})
	h.has(t, other, "a")
	if took := time.Since(begin); took > 1500*time.Millisecond {
		t.Errorf("after its first failure the new site was told after %s", took)
	}
}

// failingStore is a store that may fail to be read.
type failingStore struct {
	replacedStore

	fails atomic.Bool
}

func (s *failingStore) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	if s.fails.Load() {
		return store.Page{}, errors.New("the disk is away")
	}
	return s.replacedStore.After(ctx, span, limit)
}

// While the log cannot be read, the lag is how long that lasts, also after a start.
func TestTheLagWhileTheLogCannotBeRead(t *testing.T) {
	path, b := filepath.Join(t.TempDir(), "chat.db"), chattest.NewBackend(t, "")
	h := openHub(t, path, plenty)
	h.direct(t, b)
	h.publish(t, "a", "1")
	h.has(t, b, "a")
	h.close()
	h = openHub(t, path, plenty)
	failing := &failingStore{replacedStore: replacedStore{h.store.(*bolt.Store)}}
	failing.fails.Store(true)
	h.sender.store = failing
	h.direct(t, b)
	chattest.Eventually(t, "it fails", func() bool { return len(h.reports()) > 0 })
	time.Sleep(100 * time.Millisecond)
	if lag := h.sender.Lag(time.Now()); lag < 100*time.Millisecond || lag > time.Minute {
		t.Errorf("the lag is %s", lag)
	}
	chattest.Eventually(t, "it is reported", func() bool { return slices.Contains(h.reports(), "down: the disk is away") })
	failing.fails.Store(false)
	chattest.Eventually(t, "all is told", func() bool { return len(b.Gaps()) > 0 && slices.Equal(b.Texts("a"), []string{"1"}) })
	chattest.Eventually(t, "there is no lag", func() bool { return h.sender.Lag(time.Now()) == 0 })
	if said, want := h.reports(), []string{"stuck: the disk is away", "down: the disk is away", "up"}; !slices.Equal(said, want) {
		t.Errorf("the reports are %q, want %q", said, want)
	}
}

// panickingStore is a store that panics once.
type panickingStore struct {
	*memory.Store

	panicked atomic.Bool
}

func (s *panickingStore) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	if !s.panicked.Swap(true) {
		panic("a test of panics")
	}
	return s.Store.After(ctx, span, limit)
}

// A panic costs a site nothing, with the memory store too.
func TestAPanicLosesNothing(t *testing.T) {
	b := chattest.NewBackend(t, "")
	h := openHub(t, "", plenty)
	panicking := &panickingStore{Store: h.store.(*memory.Store)}
	h.sender.store = panicking
	h.direct(t, b)
	h.publish(t, "a", "1")
	h.has(t, b, "a")
	b.AnswerStatus(http.StatusInternalServerError)
	for i := range 2 * maxTail { // more than a tail has
		h.publish(t, "a", fmt.Sprint(i))
	}
	chattest.Eventually(t, "it panics", panicking.panicked.Load)
	b.Answer(nil)
	h.has(t, b, "a")
	if gaps := b.Gaps(); len(gaps) > 0 {
		t.Errorf("it was told of gaps: %q", gaps)
	}
	b.AnswerStatus(http.StatusInternalServerError)
	h.publish(t, "a", "not told")
	h.sender.Direct(nil) // forgets the place
	chattest.Eventually(t, "the sender does not follow the hub", func() bool { return !h.sender.following.Load() })
	b.Answer(nil)
	h.direct(t, b)
	h.publish(t, "b", "told")
	h.has(t, b, "b")
	if slices.Contains(b.Texts("a"), "not told") {
		t.Error("it goes on where it was before it was told to stop")
	}
}

// Nothing is told that was deleted while a slow site was told what was read with it.
func TestASlowSiteIsNotToldWhatWasDeleted(t *testing.T) {
	b := chattest.NewBackend(t, "")
	h := openHub(t, "", plenty)
	h.sender.limits.timeout = time.Minute
	h.direct(t, b)
	b.AnswerStatus(http.StatusInternalServerError)
	var secret store.ID
	for i := range 2 * maxTail { // more than a tail has
		if i == 250 {
			secret = h.publish(t, "a", "secret")[0]
		}
		h.publish(t, "a", fmt.Sprint(i))
	}
	asked, deleted := make(chan struct{}, 1), make(chan struct{})
	b.Answer(func(w http.ResponseWriter, _ *http.Request) {
		wake.Up(asked)
		<-deleted
		w.WriteHeader(http.StatusNoContent)
	})
	<-asked
	h.change(t, "a", secret, store.Delete, "")
	time.Sleep(2 * h.sender.limits.fresh)
	close(deleted)
	h.has(t, b, "a")
	for _, item := range b.Items() {
		if strings.Contains(string(item.Message), "secret") {
			t.Errorf("it was told %s", item.Message)
		}
	}
	checkOrder(t, b)
}
