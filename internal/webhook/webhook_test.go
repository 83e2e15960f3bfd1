package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/bolt"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

// quick are limits of tests, which do not wait for minutes.
var quick = limits{
	timeout: 300 * time.Millisecond, shortest: 5 * time.Millisecond, longest: 50 * time.Millisecond,
	down: 100 * time.Millisecond, save: 5 * time.Millisecond, grace: 100 * time.Millisecond, store: 10 * time.Second,
	fresh: 50 * time.Millisecond,
}

var plenty = store.Limits{Count: 100_000, Rooms: 100_000}

const owner = store.Owner("kim")

// testHub is a hub, its store and a sender.
type testHub struct {
	*hub.Hub

	store  store.Store
	sender *Sender

	mu   sync.Mutex
	said []string // reports of the sender
}

// openHub opens a hub in a file, or in memory if path is empty, and a sender.
func openHub(t testing.TB, path string, limits store.Limits) *testHub {
	t.Helper()
	h := new(testHub)
	opened, err := hub.Open(limits, func(to store.Hub, limits store.Limits) (s store.Store, err error) {
		if path == "" {
			s = memory.Open(to, limits)
		} else {
			s, err = bolt.Open(path, "test", to, limits, nil)
		}
		h.store = s
		return s, err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Hub = opened
	h.sender = New(opened, h.store, Reports{
		Down:  func(err error) { h.say("down: " + err.Error()) },
		Up:    func() { h.say("up") },
		Stuck: func(err error) { h.say("stuck: " + err.Error()) },
	})
	h.sender.limits = quick
	t.Cleanup(h.close)
	return h
}

func (h *testHub) close() {
	h.sender.Close()
	_ = h.Close()
}

func (h *testHub) say(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, what)
}

func (h *testHub) reports() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.said)
}

func (h *testHub) publish(t testing.TB, room string, texts ...string) (ids []store.ID) {
	t.Helper()
	drafts := make([]store.Draft, len(texts))
	for i, text := range texts {
		drafts[i] = store.Draft{Text: text, Owner: owner}
	}
	receipts, err := h.Publish(context.Background(), room, drafts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range receipts {
		ids = append(ids, r.ID)
	}
	return ids
}

func (h *testHub) change(t testing.TB, room string, id store.ID, kind store.ChangeKind, text string) {
	t.Helper()
	_, err := h.Change(context.Background(), room, id, store.Change{Kind: kind, By: owner, Text: text, HasText: true, MaxText: 10_000})
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrManyReactions) {
		t.Fatal(err)
	}
}

// direct has the sender tell a backend, and waits until it follows the hub.
func (h *testHub) direct(t testing.TB, b *chattest.Backend) {
	t.Helper()
	h.sender.Direct(&Target{URL: b.URL})
	h.follows(t)
}

// follows waits until the sender hears of what is published next.
func (h *testHub) follows(t testing.TB) {
	t.Helper()
	chattest.Eventually(t, "the sender follows the hub", h.sender.following.Load)
}

// has waits until a backend has just what the hub has in some rooms.
func (h *testHub) has(t testing.TB, b *chattest.Backend, rooms ...string) {
	t.Helper()
	for _, room := range rooms {
		var got, want []string
		same := func() bool {
			got, want = b.Texts(room), nil
			page, err := h.Before(context.Background(), room, store.MaxID, 100_000)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page.Messages {
				post := m.Post()
				want = append(want, post.Text)
			}
			return slices.Equal(got, want)
		}
		for begin := time.Now(); !same(); time.Sleep(5 * time.Millisecond) {
			if time.Since(begin) > chattest.Patience {
				t.Fatalf("room %s: the backend has %d messages %.300q\nand the hub %d %.300q; reports: %q", room, len(got), got, len(want), want, h.reports())
			}
		}
	}
}

// Whatever happens in a hub and to its backend, in the end the backend has what the hub
// has: on disk over restarts too.
func TestABackendHasWhatTheHubHas(t *testing.T) {
	for _, name := range []string{"memory", "bolt"} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(4) {
				path := ""
				if name == "bolt" {
					path = filepath.Join(t.TempDir(), "chat.db")
				}
				runModel(t, path, seed)
			}
		})
	}
}

func runModel(t *testing.T, path string, seed uint64) {
	random := rand.New(rand.NewPCG(1, seed))
	b := chattest.NewBackend(t, "s")
	b.Answer(func(w http.ResponseWriter, r *http.Request) { // it fails often, in several ways
		switch rand.IntN(12) {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case 2:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		case 3:
			panic(http.ErrAbortHandler)
		case 4:
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, strings.Repeat("x", 1_000_000))
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	h := openHub(t, path, plenty)
	h.sender.Direct(&Target{b.URL, "s"})
	h.follows(t)
	rooms := []string{"lobby", "tea", "방", "a", "b", "c"}
	type sent struct {
		room string
		id   store.ID
	}
	var all []sent
	texts := 0
	for range 700 {
		room := rooms[random.IntN(len(rooms))]
		switch op := random.IntN(100); {
		case op < 40 || len(all) == 0:
			batch := make([]string, 1+random.IntN(3))
			if random.IntN(30) == 0 {
				batch = make([]string, 900) // more than a tail has
			}
			for i := range batch {
				texts++
				batch[i] = fmt.Sprint(texts)
			}
			for _, id := range h.publish(t, room, batch...) {
				all = append(all, sent{room, id})
			}
		case op < 85:
			m := all[max(0, len(all)-1-random.IntN(30))]
			if random.IntN(3) == 0 {
				m = all[random.IntN(len(all))]
			}
			kind := []store.ChangeKind{store.Edit, store.Append, store.React, store.Unreact, store.Delete}[random.IntN(5)]
			h.change(t, m.room, m.id, kind, fmt.Sprint(random.IntN(10)))
		case op < 86:
			if err := h.Forget(t.Context(), room); err != nil {
				t.Fatal(err)
			}
		case op < 87 && path != "":
			h.close()
			h = openHub(t, path, plenty)
			h.sender.Direct(&Target{b.URL, "s"})
		case op < 90:
			time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond) // for the sender to come along
		}
	}
	b.Answer(nil)
	h.has(t, b, rooms...)
	if gaps := b.Gaps(); len(gaps) > 0 {
		t.Errorf("the backend was told of gaps: %q", gaps)
	}
	checkOrder(t, b)
	chattest.Eventually(t, "there is no lag", func() bool { return h.sender.Lag(time.Now()) == 0 })
	h.close()
}

// checkOrder checks that a backend was told of messages in their order, but for what was
// repeated.
func checkOrder(t *testing.T, b *chattest.Backend) {
	t.Helper()
	seen := make(map[string]bool)
	var last store.ID
	for _, item := range b.Items() {
		if item.Type != "message" {
			continue
		}
		var m struct{ ID string }
		if err := json.Unmarshal(item.Message, &m); err != nil {
			t.Fatal(err)
		}
		id, err := store.ParseID(m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if seen[m.ID] {
			continue
		}
		seen[m.ID] = true
		if !id.After(last) {
			t.Fatalf("message %v comes after %v", id, last)
		}
		last = id
	}
}
