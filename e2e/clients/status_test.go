package clients

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// gateway sends an event, answers 502 to whoever comes back, and then goes on after
// the id that it is told.
type gateway struct {
	mu    sync.Mutex
	asked int
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	id := r.Header.Get("Last-Event-ID")
	for _, name := range []string{"last_event_id", "lastEventId"} {
		if id == "" {
			id = query.Get(name)
		}
	}
	g.mu.Lock()
	g.asked++
	n := g.asked
	g.mu.Unlock()
	switch n {
	case 1:
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, ":ok\nretry: 300\nid: 1\ndata: before\n\n")
	case 2:
		w.WriteHeader(http.StatusBadGateway)
	default:
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, ":ok\nretry: 300\nid: 2\ndata: after %s\n\n", id)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// A status other than 200, such as a proxy's 502, makes those clients give up of which
// the README says so. All others come back with the last id.
func TestClientsAfterABadGateway(t *testing.T) {
	t.Parallel()
	givesUp := []string{"Chromium", "Firefox", "event-source-polyfill", "eventsource", "undici", "go-sse"}
	var all sync.WaitGroup
	for name, run := range and(clients, libraries) {
		mux := http.NewServeMux()
		mux.Handle("/", http.FileServer(http.Dir("browser")))
		mux.Handle("/modules/", http.StripPrefix("/modules/", http.FileServer(http.Dir("node_modules"))))
		mux.Handle("/stream", new(gateway))
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), startup)
			defer cancel()
			var got []string
			err := run(ctx, server.URL+"/stream?room=x", func(_, data string) {
				if got = append(got, data); len(got) == 2 {
					cancel()
				}
			})
			want := []string{"before", "after 1"}
			if slices.Contains(givesUp, name) {
				want = want[:1]
			}
			gaveUp := err != nil && !errors.Is(ctx.Err(), context.Canceled)
			if !slices.Equal(got, want) || gaveUp != (len(want) == 1) {
				t.Errorf("%s got %q and ended with %v, want %q", name, strings.Join(got, ", "), err, want)
			}
		})
	}
	all.Wait()
}
