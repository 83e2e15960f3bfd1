package ssechat

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

func init() {
	caddy.RegisterModule(faultyStores{})
	caddy.RegisterModule(faultyHandler{})
	httpcaddyfile.RegisterHandlerDirective("faulty", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return faultyHandler{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("faulty", httpcaddyfile.Before, "request_header")
}

// faultyStores opens stores that panic when they are told to.
type faultyStores struct{}

func (faultyStores) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.sse_chat.stores.faulty", New: func() caddy.Module { return new(faultyStores) }}
}

func (*faultyStores) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }
func (*faultyStores) Place() string                                 { return "faulty" }

func (*faultyStores) Open(_ string, hub store.Hub, limits store.Limits) (store.Store, error) {
	return &faultyStore{memory.Open(hub, limits), hub}, nil
}

type faultyStore struct {
	*memory.Store
	hub store.Hub
}

func (s *faultyStore) Append(ctx context.Context, room string, drafts []store.Draft) ([]store.Receipt, error) {
	switch drafts[0].Text {
	case "before":
		panic("before it is stored")
	case "within":
		s.hub.Deliver(nil) // a store must not
	}
	receipts, err := s.Store.Append(ctx, room, drafts)
	if drafts[0].Text == "after" {
		panic("after it is stored")
	}
	return receipts, err
}

func (s *faultyStore) Find(ctx context.Context, room string, owner store.Owner, nonce string) (store.Receipt, error) {
	if nonce == "panic" {
		panic("while a nonce is looked up")
	}
	return s.Store.Find(ctx, room, owner, nonce)
}

func (s *faultyStore) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	if slices.Contains(span.Rooms, "panic") {
		panic("while messages are read")
	}
	return s.Store.After(ctx, span, limit)
}

func (s *faultyStore) Before(ctx context.Context, room string, before store.ID, limit int) (store.Page, error) {
	if room == "panic" {
		panic("while history is read")
	}
	return s.Store.Before(ctx, room, before, limit)
}

// faultyHandler stands around the chat. It and what it gives to it panic when
// a request's field Panic says so.
type faultyHandler struct{}

func (faultyHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.faulty", New: func() caddy.Module { return new(faultyHandler) }}
}

func (faultyHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	where := r.Header.Get("Panic")
	r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Map(func(key string) (any, bool) {
		if key == "faulty.name" && where == "name" {
			panic("while a placeholder is filled in")
		}
		return "kim", key == "faulty.name"
	})
	if where == "write" {
		w = &faultyWriter{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	}
	if where == "body" {
		r.Body = io.NopCloser(faultyReader{})
	}
	return next.ServeHTTP(w, r)
}

type faultyWriter struct {
	*caddyhttp.ResponseWriterWrapper
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(`"text":"write"`)) {
		panic("while it is written")
	}
	return w.ResponseWriter.Write(p)
}

type faultyReader struct{}

func (faultyReader) Read([]byte) (int, error) { panic("while the body is read") }

// A panic costs the one request or stream that it comes from. It takes no lock
// along and leaves nothing behind: all others go on, and so does whatever comes
// next.
func TestPanicsAreContained(t *testing.T) {
	s := caddytest.ServeSite(t, `
		faulty
		route {
			sse_chat {
				store faulty
				name {faulty.name}
				rate 1000 1m
			}
			respond "next"
		}`)
	b := hubOf(t, "default")
	parked, served := s.Stream(t, "/subscribe"), s.Stream(t, "/subscribe?events=1", "Accept-Encoding: gzip")
	waitParked(t, b, 2)
	s.Post(t, "/update", "begin")
	s.Client.CloseIdleConnections()
	goroutines := runtime.NumGoroutine()

	fails := func(method, path, body string, header ...string) func() {
		return func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), chattest.Patience)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range header {
				name, value, _ := strings.Cut(field, ": ")
				request.Header.Set(name, value)
			}
			response, err := s.Client.Do(request)
			if err != nil {
				if ctx.Err() != nil {
					t.Errorf("%s %s %s is not answered: %v", method, path, body, err)
				}
				return
			}
			defer response.Body.Close()
			if got, err := io.ReadAll(response.Body); err == nil && response.StatusCode == http.StatusOK {
				t.Errorf("%s %s %s is answered %d %s", method, path, body, response.StatusCode, got)
			}
		}
	}
	text := func(what string) string { return `{"text":"` + what + `"}` }
	for _, test := range []struct {
		name string
		run  func()
	}{
		{"in the store, before a message is stored", fails("POST", "/update", text("before"))},
		{"in the store, after", fails("POST", "/update", text("after"))},
		{"in the broker, below the store", fails("POST", "/update", text("within"))},
		{"for a nonce", fails("POST", "/update", `{"text":"x","nonce":"panic"}`)},
		{"in a body", fails("POST", "/update", text("x"), "Panic: body")},
		{"in a publisher's name", fails("POST", "/update", text("x"), "Panic: name")},
		{"in a reader's name", fails("GET", "/subscribe", "", "Panic: name")},
		{"in history", fails("GET", "/history?room=panic", "")},
		{"while a stream is written", func() {
			s.Post(t, "/update?room=write", "write")
			c := s.Stream(t, "/subscribe?room=write&last=1", "Panic: write")
			if rest, _ := c.Rest(t); strings.Contains(rest, "data: ") {
				t.Errorf("it goes on: %q", rest)
			}
		}},
		{"while a stream is replayed", func() {
			s.Post(t, "/update?room=panic", "x")
			if rest, _ := s.Stream(t, "/subscribe?room=panic&last_event_id=1").Rest(t); strings.Contains(rest, "data: ") {
				t.Errorf("it goes on: %q", rest)
			}
		}},
		{"while a parked stream catches up", func() {
			c := s.Stream(t, "/subscribe?room=panic")
			waitParked(t, b, 3)
			b.Dropped("panic", store.ID{Ms: 1 << 50}) // so that the store is asked for what comes
			s.Post(t, "/update?room=panic", "x")
			_, _ = c.Rest(t)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run()
			m := s.Post(t, "/update", test.name)
			for _, c := range []*chattest.Stream{parked, served} {
				e := c.Next(t)
				for e.Name != "" || strings.Contains(e.Data, `"after"`) || strings.Contains(e.Data, `"begin"`) {
					e = c.Next(t)
				}
				if got := e.Message(t); got != m {
					t.Errorf("got %+v, want %+v", got, m)
				}
			}
			s.Client.CloseIdleConnections()
			chattest.Eventually(t, "nothing is left of it", func() bool {
				return b.Counts.Subscribers.Load() == 2 && runtime.NumGoroutine() <= goroutines+5
			})
		})
	}
}
