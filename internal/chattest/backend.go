package chattest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Backend is a site that is told what happens in a hub by a webhook. It keeps what it was
// told, and what messages there are by that. Its methods may be called by several goroutines
// at the same time.
type Backend struct {
	*httptest.Server

	secret string

	mu       sync.Mutex
	answer   http.HandlerFunc // nil for 204
	busy     context.Context  // of the request that is being answered now; nil if there is none
	requests int
	items    []BackendItem
	messages map[string]map[string]backendMessage // by room and id
	faults   []string
}

// BackendItem is one thing that a webhook tells.
type BackendItem struct {
	Type, Room, ID, Through, Reason string
	Message                         json.RawMessage
}

// backendMessage is what the backend keeps of a message.
type backendMessage struct{ ID, Text string }

// NewBackend starts a backend that checks signatures by a secret, unless that is empty. It
// is closed when the test ends, which fails if a request was wrong.
func NewBackend(t testing.TB, secret string) *Backend {
	t.Helper()
	return NewBackendAt(t, FreeAddr(t), secret)
}

// NewBackendAt is [NewBackend] at an address.
func NewBackendAt(t testing.TB, addr, secret string) *Backend {
	t.Helper()
	b := &Backend{secret: secret, messages: make(map[string]map[string]backendMessage)}
	b.Server = NewServerAt(t, addr, b)
	b.Start()
	t.Cleanup(func() {
		b.CloseClientConnections()
		b.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, fault := range b.faults {
			t.Error(fault)
		}
	})
	return b
}

// Answer sets what answers requests from now on; nil for 204. What another answer than 2xx
// was told does not count.
func (b *Backend) Answer(answer http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// AnswerStatus has the backend answer with a status from now on.
func (b *Backend) AnswerStatus(status int) {
	b.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

// ServeHTTP implements [http.Handler].
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was cut off
	}
	b.mu.Lock()
	b.requests++
	answer := b.answer
	if err := b.check(r, body); err != nil {
		b.faults = append(b.faults, err.Error())
	}
	alone := b.busy == nil
	if !alone { // unless the sender has given that one up, which the server learns late
		busy := b.busy
		b.mu.Unlock()
		select {
		case <-busy.Done():
		case <-time.After(5 * time.Second):
		}
		b.mu.Lock()
		if busy.Err() == nil && b.busy == busy {
			b.faults = append(b.faults, "two requests at the same time")
		}
	}
	b.busy = r.Context()
	b.mu.Unlock()
	answering := &answering{ResponseWriter: w, backend: b, body: body, context: r.Context()}
	defer answering.end()
	if answer == nil {
		answering.WriteHeader(http.StatusNoContent)
	} else {
		answer(answering, r)
		answering.WriteHeader(http.StatusOK)
	}
}

// answering is the answer to a request. The backend has what it was told before the sender
// can see that.
type answering struct {
	http.ResponseWriter

	backend *Backend
	body    []byte
	context context.Context
	once    sync.Once
}

// WriteHeader implements [http.ResponseWriter].
func (w *answering) WriteHeader(status int) {
	w.once.Do(func() {
		w.end()
		w.backend.mu.Lock()
		if status/100 == 2 {
			w.backend.take(w.body)
		}
		w.backend.mu.Unlock()
		w.ResponseWriter.WriteHeader(status)
	})
}

// end records that the sender may send the next request.
func (w *answering) end() {
	w.backend.mu.Lock()
	defer w.backend.mu.Unlock()
	if w.backend.busy == w.context {
		w.backend.busy = nil
	}
}

// Unwrap is for [http.ResponseController].
func (w *answering) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// check returns what is wrong with a request.
func (b *Backend) check(r *http.Request, body []byte) error {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("a request is %s of %q", r.Method, r.Header.Get("Content-Type"))
	}
	signature := r.Header.Get("Sse-Chat-Signature")
	if b.secret == "" {
		if signature != "" {
			return fmt.Errorf("a request without a secret is signed %s", signature)
		}
		return nil
	}
	at, _ := strings.CutPrefix(signature, "t=")
	at, _, _ = strings.Cut(at, ",")
	mac := hmac.New(sha256.New, []byte(b.secret))
	fmt.Fprintf(mac, "%s.%s", at, body)
	var seconds int64
	if _, err := fmt.Sscan(at, &seconds); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
		return fmt.Errorf("the signature %q is not of now", signature)
	}
	if want := "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil)); signature != want {
		return fmt.Errorf("the signature is %q, want %q", signature, want)
	}
	return nil
}

// take keeps what a batch tells.
func (b *Backend) take(body []byte) {
	var items []BackendItem
	if err := json.Unmarshal(body, &items); err != nil || len(items) == 0 || len(items) > 100 {
		b.faults = append(b.faults, fmt.Sprintf("a batch has %d items (%v): %.200s", len(items), err, body))
		return
	}
	b.items = append(b.items, items...)
	for _, item := range items {
		b.apply(item)
	}
}

func (b *Backend) apply(item BackendItem) {
	room := b.messages[item.Room]
	if room == nil {
		room = make(map[string]backendMessage)
		b.messages[item.Room] = room
	}
	var m backendMessage
	switch item.Type {
	case "message", "change":
		if err := json.Unmarshal(item.Message, &m); err != nil || m.ID == "" || item.Room == "" {
			b.faults = append(b.faults, fmt.Sprintf("a %s is %+v: %v", item.Type, item, err))
		}
		room[m.ID] = m
	case "delete":
		delete(room, item.ID)
		if through, err := store.ParseID(item.Through); err == nil {
			for id := range room {
				if at, err := store.ParseID(id); err == nil && !at.After(through) {
					delete(room, id)
				}
			}
		} else if item.ID == "" {
			b.faults = append(b.faults, fmt.Sprintf("a deletion of nothing: %+v", item))
		}
	case "gap":
		if item.Reason == "" {
			b.faults = append(b.faults, "a gap without a reason")
		}
	default:
		b.faults = append(b.faults, fmt.Sprintf("an item of the type %q", item.Type))
	}
}

// Items returns what the backend has accepted so far.
func (b *Backend) Items() []BackendItem {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.items)
}

// Requests returns how many requests there were.
func (b *Backend) Requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

// Gaps returns the reasons of all gaps that the backend was told of.
func (b *Backend) Gaps() (reasons []string) {
	for _, item := range b.Items() {
		if item.Type == "gap" {
			reasons = append(reasons, item.Reason)
		}
	}
	return reasons
}

// Texts returns the texts of a room's messages by what the backend was told, in their order.
func (b *Backend) Texts(room string) (texts []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []store.ID
	for id := range b.messages[room] {
		at, err := store.ParseID(id)
		if err != nil {
			b.faults = append(b.faults, err.Error())
		}
		ids = append(ids, at)
	}
	slices.SortFunc(ids, store.ID.Compare)
	for _, id := range ids {
		texts = append(texts, b.messages[room][id.String()].Text)
	}
	return texts
}

// Count returns how many messages there are by what the backend was told.
func (b *Backend) Count() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, room := range b.messages {
		n += len(room)
	}
	return n
}
