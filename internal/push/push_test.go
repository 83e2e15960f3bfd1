package push

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/pushtest"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

const testInterval = 500 * time.Millisecond

func TestMain(m *testing.M) {
	interval = testInterval
	os.Exit(m.Run())
}

var start = time.Unix(1_795_353_900, 0)

func unmarshalOrFail(t *testing.T, text []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// newSub returns a subscription with keys of nobody.
func newSub(t testing.TB, endpoint string) *Subscription {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Subscription{Endpoint: endpoint, P256dh: key.PublicKey().Bytes(), Auth: make([]byte, 16), Owner: store.OwnerByName("kim"), Rooms: []string{"tea"}}
}

// rig is a sender with a push service, and a storage in a folder.
type rig struct {
	*Sender
	t       *testing.T
	service *pushtest.Service
	storage *certmagic.FileStorage
	logs    *observer.ObservedLogs
	leave   func()

	mu       sync.Mutex
	standing map[string]presence.Standing
	asked    atomic.Int64
	ids      int64
}

func newRig(t *testing.T) *rig {
	t.Helper()
	service := pushtest.Start(t)
	t.Cleanup(Allow(service.Roots, nil, netip.MustParseAddr("127.0.0.1")))
	return newRigAt(t, service, &certmagic.FileStorage{Path: t.TempDir()})
}

func newRigAt(t *testing.T, service *pushtest.Service, storage *certmagic.FileStorage) *rig {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	r := &rig{t: t, service: service, storage: storage, logs: logs, standing: make(map[string]presence.Standing)}
	r.Sender = NewSender("default", func(_ context.Context, people []string) map[string]presence.Standing {
		r.asked.Add(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		found := make(map[string]presence.Standing)
		for _, person := range people {
			found[person] = r.standing[person]
		}
		return found
	})
	r.leave = r.Use(storage, "mailto:a@example.com", zap.New(core))
	t.Cleanup(r.Close)
	return r
}

func (r *rig) is(person string, s presence.Standing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.standing[presence.PersonByName(person)] = s
}

// subscribe subscribes a person to the room tea.
func (r *rig) subscribe(person string) *pushtest.Browser {
	r.t.Helper()
	b := r.service.Subscribe()
	r.put(b, person, func(*Subscription) {})
	return b
}

func (r *rig) put(b *pushtest.Browser, person string, change func(*Subscription)) {
	r.t.Helper()
	sub, err := Decode([]byte(b.JSON()))
	if err != nil {
		r.t.Fatal(err)
	}
	sub.Owner, sub.Rooms = store.OwnerByName(person), []string{"tea"}
	change(sub)
	if err := r.Put(r.t.Context(), sub); err != nil {
		r.t.Fatal(err)
	}
}

// say hands over a message of lee.
func (r *rig) say(room, text string) {
	r.ids++
	r.Notify(store.NewMessage(store.ID{Ms: r.ids}, room, store.Draft{Text: text, Name: "lee", Owner: store.OwnerByName("lee")}))
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	chattest.Eventually(r.t, what, ok)
}
