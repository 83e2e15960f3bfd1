//go:build !race

package tests

import (
	"bytes"
	"context"
	"encoding/json"
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
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// crashRounds is how often a Caddy is killed.
const crashRounds = 50

// Whatever a publisher was told is stored is there once and in order, however
// often the process is killed, and readers who resume see all of it once.
func TestNothingIsLostWhenTheProcessIsKilled(t *testing.T) {
	addr := chattest.FreeAddr(t)
	block := fmt.Sprintf("sse_chat {\nstore bolt %s\nretain 1000000\n}", filepath.Join(t.TempDir(), "chat.db"))
	p := caddytest.Start(t, "http://"+addr, block)
	crowd := newCrowd(t, p.Site)
	for round := range crashRounds {
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond) // when to kill is a matter of chance
		if round%10 == 9 {
			p.Terminate(t)
		} else {
			p.Kill(t)
		}
		p = caddytest.Start(t, "http://"+addr, block)
	}
	crowd.check(t)
}

var crowdRooms = []string{"a", "b", "방"}

// crowd publishes and reads without a pause, through whatever happens to the
// server.
type crowd struct {
	*chattest.Site
	first      string // an id from before all
	ctx        context.Context
	publishing sync.WaitGroup
	reading    sync.WaitGroup
	stop       chan struct{} // closed when nothing more is published
	end        context.CancelFunc

	mu      sync.Mutex // guards all below
	acked   []chattest.Message
	unsure  int // how often it was not known whether a message was stored
	refused map[int]int
	faults  []string
	readers []*crowdReader
}

type crowdReader struct {
	rooms  []string
	cursor string
	opened int // how many streams
	seen   []chattest.Message
}

func newCrowd(t *testing.T, s *chattest.Site) *crowd {
	t.Helper()
	c := &crowd{Site: s, stop: make(chan struct{}), refused: map[int]int{}}
	c.ctx, c.end = context.WithCancel(context.Background())
	t.Cleanup(func() {
		c.end()
		c.reading.Wait()
	})
	c.first = s.Post(t, "/update?room=z", "first").ID
	for i := range 16 {
		c.publishing.Go(func() { c.publish(i) })
	}
	for _, rooms := range [][]string{{"a"}, {"b"}, {"방"}, crowdRooms} {
		r := &crowdReader{rooms: rooms, cursor: c.first}
		c.readers = append(c.readers, r)
		c.reading.Go(func() { c.read(r) })
	}
	return c
}

// publish publishes one message after the other. Half of the publishers repeat
// one under its nonce until they are told that it is stored.
func (c *crowd) publish(worker int) {
	room := crowdRooms[worker%len(crowdRooms)]
	for i := 0; ; i++ {
		select {
		case <-c.stop:
			return
		default:
		}
		draft := map[string]string{"text": fmt.Sprintf("%d/%d", worker, i)}
		if worker%2 == 0 {
			draft["nonce"] = fmt.Sprintf("%d-%d", worker, i)
		}
		body, _ := json.Marshal(draft)
		for !c.tryPublish(room, body) {
			// or those who wait for the server take all of the machine
			time.Sleep(10 * time.Millisecond)
			if worker%2 == 1 {
				break
			}
		}
	}
}

func (c *crowd) tryPublish(room string, body []byte) (stored bool) {
	request, _ := http.NewRequestWithContext(c.ctx, http.MethodPost, c.URL+"/update?room="+room, bytes.NewReader(body))
	response, err := c.Client.Do(request)
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var m chattest.Message
	switch {
	case err != nil:
		c.unsure++
	case response.StatusCode != http.StatusOK:
		c.refused[response.StatusCode]++
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			c.faults = append(c.faults, fmt.Sprintf("a publisher is answered %d %s", response.StatusCode, answer))
		}
	case json.Unmarshal(answer, &m) != nil:
		c.faults = append(c.faults, fmt.Sprintf("a publisher is answered %q", answer))
	default:
		c.acked = append(c.acked, m)
		return true
	}
	return false
}

// read reads a stream as an EventSource does, again and again.
func (c *crowd) read(r *crowdReader) {
	for c.ctx.Err() == nil {
		query := "?room=" + strings.Join(r.rooms, "&room=")
		request, _ := http.NewRequestWithContext(c.ctx, http.MethodGet, c.URL+"/subscribe"+query, nil)
		request.Header.Set("Last-Event-ID", r.cursor)
		response, err := c.Client.Do(request)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		c.mu.Lock()
		r.opened++
		c.mu.Unlock()
		_ = chattest.ReadEvents(response.Body, func(e chattest.Event) bool {
			c.note(r, e)
			return true
		})
		response.Body.Close()
	}
}

func (c *crowd) note(r *crowdReader, e chattest.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var m chattest.Message
	if e.Name != "" || json.Unmarshal([]byte(e.Data), &m) != nil || m.ID != e.ID {
		c.faults = append(c.faults, fmt.Sprintf("a reader of %v at %s got %+v", r.rooms, r.cursor, e))
		return
	}
	r.seen = append(r.seen, m)
	r.cursor = m.ID
}

// check ends the publishing and compares what was acknowledged, what is stored
// and what was read.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.publishing.Wait()
	stored := c.stored(t)
	for _, r := range c.readers {
		c.checkReader(t, r, slices.DeleteFunc(slices.Clone(stored), func(m chattest.Message) bool { return !slices.Contains(r.rooms, m.Room) }))
	}
	c.end()
	c.reading.Wait()

	byID, texts := map[string]chattest.Message{}, map[string]bool{}
	for _, m := range stored {
		byID[m.ID] = m
		if texts[m.Room+m.Text] {
			t.Errorf("%q is stored twice", m.Text)
		}
		texts[m.Room+m.Text] = true
	}
	last := map[string]store.ID{} // by publisher
	for _, m := range c.acked {
		if byID[m.ID] != m {
			t.Fatalf("%+v was acknowledged, and stored is %+v", m, byID[m.ID])
		}
		id, worker := chattest.MustID(t, m.ID), m.Text[:strings.Index(m.Text, "/")]
		if !id.After(last[worker]) {
			t.Errorf("%v of publisher %s comes after %v", id, worker, last[worker])
		}
		last[worker] = id
	}
	t.Logf("%d messages acknowledged of %d stored, %d times unsure, refused %v", len(c.acked), len(stored), c.unsure, c.refused)
	if len(c.acked) < 10*crashRounds {
		t.Errorf("only %d messages were published", len(c.acked))
	}
	for _, fault := range c.faults {
		t.Error(fault)
	}
}

// stored returns all messages but the first, in the order of their ids.
func (c *crowd) stored(t *testing.T) (stored []chattest.Message) {
	t.Helper()
	for _, room := range crowdRooms {
		for after, more := c.first, true; more; {
			var page struct {
				Messages []chattest.Message
				More     bool
			}
			a := c.Do(t, http.MethodGet, "/history?limit=200&room="+room+"&after="+after, "")
			if err := json.Unmarshal([]byte(a.Body), &page); a.Status != http.StatusOK || err != nil {
				t.Fatalf("the history: %d, %v in %s", a.Status, err, a.Body)
			}
			for _, m := range page.Messages {
				if !chattest.MustID(t, m.ID).After(chattest.MustID(t, after)) {
					t.Fatalf("%s comes after %s", m.ID, after)
				}
				after = m.ID
			}
			stored, more = append(stored, page.Messages...), page.More
		}
	}
	slices.SortFunc(stored, func(a, b chattest.Message) int { return chattest.MustID(t, a.ID).Compare(chattest.MustID(t, b.ID)) })
	return stored
}

// checkReader waits until a reader has seen all that it should, and compares.
func (c *crowd) checkReader(t *testing.T, r *crowdReader, want []chattest.Message) {
	t.Helper()
	chattest.Eventually(t, fmt.Sprintf("the reader of %v has seen all", r.rooms), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(r.seen) >= len(want)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range r.seen {
		if i >= len(want) || m != want[i] {
			t.Fatalf("the reader of %v has seen %+v as message %d of %d, and stored is %+v", r.rooms, m, i, len(want), want[min(i, len(want)-1)])
		}
	}
}
