package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// Any interleaving of posts, changes, deletions, drops and resumes, over real streams,
// leaves each reader with what the history has, and readers without named events with the
// messages as they were published.
func TestChangesOverTheWireAgainstModel(t *testing.T) {
	for name, options := range map[string]string{
		"in memory": "", "unparked": "park off", "on disk": "store bolt " + filepath.Join(t.TempDir(), "chat.db"),
	} {
		t.Run(name, func(t *testing.T) { runChangesOverTheWire(t, options) })
	}
}

func runChangesOverTheWire(t *testing.T, options string) {
	site := caddytest.Serve(t, options)
	rooms := []string{"lobby", "tea", "방"}
	random := rand.New(rand.NewPCG(1, 7))
	var readers []*wireReader
	for i := range 6 {
		readers = append(readers, &wireReader{site: site, rooms: rooms[:1+i%3], shown: storetest.NewReader()})
		readers[i].open(t)
	}
	plain := site.Stream(t, "/subscribe?room=lobby&room=tea&room=방")
	var posted []chattest.Message
	gone := make(map[string]bool)
	for range 400 {
		switch op := random.IntN(20); {
		case op < 6 || len(posted) == 0:
			room := rooms[random.IntN(len(rooms))]
			posted = append(posted, post(t, site, "/update?room="+room, fmt.Sprintf(`{"text":"%d"}`, random.IntN(100)), keyOfKim))
		case op < 15:
			m := posted[random.IntN(len(posted))]
			key := []string{"text", "append", "append", "react", "unreact"}[random.IntN(5)]
			path := "/update?id=" + m.ID + "&room=" + roomOf(m)
			a := site.Do(t, http.MethodPatch, path, fmt.Sprintf(`{%q:"%d"}`, key, random.IntN(20)), keyOfKim)
			if a.Status != 200 && a.Status != 404 && a.Status != 409 {
				t.Fatalf("PATCH: %d %s", a.Status, a.Body)
			}
		case op < 17:
			m := posted[random.IntN(len(posted))]
			if a := site.Do(t, http.MethodDelete, "/update?id="+m.ID+"&room="+roomOf(m), "", keyOfKim); a.Status != 200 && a.Status != 404 {
				t.Fatalf("DELETE: %d %s", a.Status, a.Body)
			}
			gone[m.ID] = true
		default:
			r := readers[random.IntN(len(readers))]
			r.close()
			r.open(t)
		}
	}
	for i, r := range readers {
		want := storetest.NewReader()
		r.load(t, want)
		same := func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return maps.Equal(r.shown.Shown, want.Shown)
		}
		for begin := time.Now(); !same() && time.Since(begin) < chattest.Patience; {
			time.Sleep(10 * time.Millisecond)
		}
		if !same() {
			t.Errorf("reader %d shows %v\nand the history has %v", i, r.shown.Shown, want.Shown)
		}
		r.close()
	}
	last := site.Post(t, "/update?room=tea", "last")
	var ids, want []string
	for _, e := range chattest.ParseStream(plain.Until(t, last.ID+"\"") + "\"}\n\n") {
		if e.Name != "" {
			t.Fatalf("one who asked for no named events got %+v", e)
		}
		ids = append(ids, e.ID)
	}
	for _, m := range append(posted, last) {
		if !gone[m.ID] || slices.Contains(ids, m.ID) { // it may be gone before it is sent
			want = append(want, m.ID)
		}
	}
	if !slices.Equal(ids, want) {
		t.Errorf("one who asked for no named events got %d messages, want %d", len(ids), len(want))
	}
}

func roomOf(m chattest.Message) string {
	if m.Room == "" {
		return store.Lobby
	}
	return m.Room
}

// wireReader is a page: it applies what comes, and resumes after the newest id that it was
// sent.
type wireReader struct {
	site  *chattest.Site
	rooms []string
	close func()

	mu    sync.Mutex
	shown *storetest.Reader
	last  string
}

func (r *wireReader) open(t *testing.T) {
	t.Helper()
	var header []string
	if r.last != "" {
		header = append(header, "Last-Event-ID: "+r.last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	response := r.site.Send(t, ctx, http.MethodGet, "/subscribe?events=1&room="+strings.Join(r.rooms, "&room="), "", header...)
	done := make(chan struct{})
	r.close = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		defer response.Body.Close()
		_ = chattest.ReadEvents(response.Body, func(e chattest.Event) bool {
			r.take(t, e)
			return true
		})
	}()
	chattest.Eventually(t, "the reader has an id to resume from", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.last != ""
	})
}

func (r *wireReader) take(t *testing.T, e chattest.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Name {
	case "", "change", "delete":
		if r.last != "" && !chattest.MustID(t, e.ID).After(chattest.MustID(t, r.last)) {
			t.Errorf("%+v comes after %s", e, r.last)
		}
		if err := r.shown.Apply([]byte(e.Data), e.Name != ""); err != nil {
			t.Error(err)
		}
	case "gap": // as a page does
		r.shown = storetest.NewReader()
		r.load(t, r.shown)
	}
	if e.ID != "" {
		r.last = e.ID
	}
}

// load gives a reader what the history has of the rooms.
func (r *wireReader) load(t *testing.T, to *storetest.Reader) {
	for _, room := range r.rooms {
		var page struct{ Messages []json.RawMessage }
		a := r.site.Do(t, http.MethodGet, "/history?limit=200&room="+room, "")
		if err := json.NewDecoder(bytes.NewReader([]byte(a.Body))).Decode(&page); err != nil {
			t.Error(err)
			return
		}
		for _, m := range page.Messages {
			if err := to.Apply(m, false); err != nil {
				t.Error(err)
			}
		}
	}
}
