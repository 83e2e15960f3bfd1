//go:build !race

package tests

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// What an author was told is added is there once and in order, however often the process
// is killed between a change and its answer, and readers who resume show it.
func TestNoChangeIsLostWhenTheProcessIsKilled(t *testing.T) {
	const authors, rounds = 6, 12
	addr := chattest.FreeAddr(t)
	block := fmt.Sprintf("sse_chat {\nstore bolt %s\nmax_text 30KiB\nretry 100ms\n}", filepath.Join(t.TempDir(), "chat.db"))
	p := caddytest.Start(t, "http://"+addr, block)
	ids := make([]string, authors)
	for i := range ids {
		ids[i] = post(t, p.Site, "/update", `{"text":"begin "}`, keyOfKim).ID
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader := &wireReader{site: p.Site, rooms: []string{"lobby"}, shown: storetest.NewReader()}
	var reading, writing sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			reader.follow(t, ctx)
			time.Sleep(20 * time.Millisecond)
		}
	})
	stopped := make(chan struct{})
	added := make([]int, authors) // how many pieces each author was told are added
	for i := range authors {
		writing.Go(func() {
			for {
				select {
				case <-stopped:
					return
				default:
				}
				body := fmt.Sprintf(`{"append":"%d,","nonce":"%d-%d"}`, added[i], i, added[i])
				for !tryPatch(ctx, p.Site, ids[i], body) {
					time.Sleep(10 * time.Millisecond)
				}
				added[i]++
			}
		})
	}
	for range rounds {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		p.Kill(t)
		p = caddytest.Start(t, "http://"+addr, block)
	}
	close(stopped)
	writing.Wait()
	var want [authors]string
	for i := range authors {
		var text strings.Builder
		text.WriteString("begin ")
		for n := range added[i] {
			fmt.Fprintf(&text, "%d,", n)
		}
		want[i] = text.String()
		if added[i] == 0 {
			t.Error("an author has added nothing")
		}
	}
	for i, m := range p.History(t, "lobby") {
		if m.ID != ids[i] || m.Text != want[i] {
			t.Errorf("author %d was told of %d pieces, and the text is %q", i, added[i], m.Text)
		}
	}
	shown := storetest.NewReader()
	reader.load(t, shown)
	chattest.Eventually(t, "the reader shows what the history has", func() bool {
		reader.mu.Lock()
		defer reader.mu.Unlock()
		return maps.Equal(reader.shown.Shown, shown.Shown)
	})
	stop()
	reading.Wait()
}

// follow reads one stream until it ends.
func (r *wireReader) follow(t *testing.T, ctx context.Context) {
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, r.site.URL+"/subscribe?events=1&last=100", http.NoBody)
	r.mu.Lock()
	request.Header.Set("Last-Event-ID", r.last)
	r.mu.Unlock()
	response, err := r.site.Client.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	_ = chattest.ReadEvents(response.Body, func(e chattest.Event) bool {
		if e.Name == "gap" {
			t.Errorf("a gap on a durable store: %+v", e)
		}
		r.take(t, e)
		return true
	})
}

// tryPatch changes a message, and reports whether it was told that it has.
func tryPatch(ctx context.Context, s *chattest.Site, id, body string) bool {
	request, _ := http.NewRequestWithContext(ctx, http.MethodPatch, s.URL+"/update?id="+id, bytes.NewReader([]byte(body)))
	field, value, _ := strings.Cut(keyOfKim, ": ")
	request.Header.Set(field, value)
	response, err := s.Client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.ReadAll(response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}
