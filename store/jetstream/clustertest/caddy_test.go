package clustertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/sse-chat/caddy-sse-chat" // the handler that the test's Caddy has
	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// caddyNode is a Caddy in a process of its own.
type caddyNode struct {
	*caddytest.Process
}

// startCaddy starts a node of a hub whose log is in a stream.
func startCaddy(t testing.TB, natsURLs []string, options string) *caddyNode {
	t.Helper()
	return startNode(t, directive(100_000, natsURLs, options))
}

// startBare starts a node that has no log yet.
func startBare(t *testing.T) *caddyNode {
	t.Helper()
	return startNode(t, "\tsse_chat")
}

func startNode(t testing.TB, block string) *caddyNode {
	t.Helper()
	return &caddyNode{caddytest.StartAdmin(t, chattest.FreeAddr(t), "http://"+chattest.FreeAddr(t), block)}
}

// directive configures a hub whose log is in a stream.
func directive(retain int, natsURLs []string, options string) string {
	return fmt.Sprintf(`	sse_chat {
		retain %d
		retry 100ms 300ms
		store jetstream %s {
			%s
		}
	}`, retain, strings.Join(natsURLs, " "), options)
}

// transport lets each stream have its own connection.
var transport = &http.Transport{MaxIdleConnsPerHost: 64}

// post publishes once and returns the status and the id.
func post(ctx context.Context, url, room, text, nonce string) (status int, id string) {
	body, _ := json.Marshal(map[string]string{"text": text, "nonce": nonce})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/update?room="+room, bytes.NewReader(body))
	if err != nil {
		return 0, ""
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	var m struct {
		ID string `json:"id"`
	}
	if json.NewDecoder(response.Body).Decode(&m) != nil {
		return 0, ""
	}
	return response.StatusCode, m.ID
}

// subscribe reads a stream until ctx ends, the stream does, or each says so.
func subscribe(ctx context.Context, url, query, lastID string, each func(chattest.Event) bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/subscribe?"+query, nil)
	if err != nil {
		return err
	}
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return chattest.ReadEvents(response.Body, each)
}

// crowd is publishers who repeat until they are answered, and readers who jump
// between nodes.
type crowd struct {
	t     *testing.T
	nodes func() []string
	rooms []string

	mu       sync.Mutex // guards acked
	acked    map[string][][2]string
	attempts atomic.Int64
	readers  []*reader
	reading  sync.WaitGroup
	talking  sync.WaitGroup
}

type reader struct {
	room string
	last string
	seen []string // ids
	text map[string]string
	gaps []string
	err  string
}

func newCrowd(t *testing.T, nodes func() []string, rooms ...string) *crowd {
	return &crowd{t: t, nodes: nodes, rooms: rooms, acked: make(map[string][][2]string)}
}

func (c *crowd) anyNode() string {
	nodes := c.nodes()
	return nodes[rand.IntN(len(nodes))]
}

// read starts readers, and returns when all have heard a first message.
func (c *crowd) read(n int) {
	for _, room := range c.rooms {
		c.say(c.t.Context(), room, "first in "+room)
	}
	for i := range n {
		r := &reader{room: c.rooms[i%len(c.rooms)], text: make(map[string]string)}
		r.last = c.acked[r.room][0][0]
		c.readers = append(c.readers, r)
		c.reading.Go(func() { r.run(c) })
	}
}

// run reads until it has read the last message, or too much has gone wrong.
func (r *reader) run(c *crowd) {
	for done := false; !done && c.t.Context().Err() == nil; {
		stay := time.Duration(500+rand.IntN(3000)) * time.Millisecond
		ctx, cancel := context.WithTimeout(c.t.Context(), stay)
		_ = subscribe(ctx, c.anyNode(), "room="+r.room, r.last, func(e chattest.Event) bool {
			done = r.take(e)
			return !done
		})
		cancel()
		if !done {
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		}
	}
}

// take takes an event and reports whether it is the last.
func (r *reader) take(e chattest.Event) (last bool) {
	if e.Name == "gap" {
		r.gaps = append(r.gaps, e.Data)
		return false
	}
	if e.ID == "" {
		return false
	}
	if !newer(e.ID, r.last) {
		r.err = fmt.Sprintf("%s after %s", e.ID, r.last)
	}
	var m struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal([]byte(e.Data), &m)
	r.last = e.ID
	r.seen = append(r.seen, e.ID)
	r.text[e.ID] = m.Text
	return strings.HasPrefix(m.Text, "last in ")
}

// newer reports whether an id is newer than another.
func newer(id, than string) bool {
	a, b := parse(id), parse(than)
	return a[0] > b[0] || a[0] == b[0] && a[1] > b[1]
}

func parse(id string) (n [2]uint64) {
	ms, seq, _ := strings.Cut(id, "-")
	n[0], _ = strconv.ParseUint(ms, 10, 64)
	n[1], _ = strconv.ParseUint(seq, 10, 64)
	return n
}

// say publishes until a node has acknowledged it.
func (c *crowd) say(ctx context.Context, room, text string) {
	nonce := fmt.Sprintf("%x", rand.Uint64())
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, 12*time.Second)
		status, id := post(attempt, c.anyNode(), room, text, nonce)
		cancel()
		c.attempts.Add(1)
		if status == http.StatusOK {
			c.mu.Lock()
			c.acked[room] = append(c.acked[room], [2]string{id, text})
			c.mu.Unlock()
			return
		}
		time.Sleep(time.Duration(50+rand.IntN(200)) * time.Millisecond)
	}
}

// talk starts publishers that go on until the returned function is called.
func (c *crowd) talk(publishers int, pause time.Duration) (stop func()) {
	quit := make(chan struct{})
	for p := range publishers {
		c.talking.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-quit:
					return
				case <-time.After(rand.N(2*pause) + 1):
				}
				c.say(c.t.Context(), c.rooms[(p+i)%len(c.rooms)], fmt.Sprintf("%d from %d", i, p))
			}
		})
	}
	return func() {
		close(quit)
		c.talking.Wait()
	}
}

// finish has a last word in all rooms, waits for all readers, and checks what
// they have read.
func (c *crowd) finish() {
	c.t.Helper()
	for _, room := range c.rooms {
		c.say(c.t.Context(), room, "last in "+room)
	}
	all := make(chan struct{})
	go func() {
		c.reading.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(patience):
		c.t.Errorf("not all readers have come to the end within %s", patience)
		return
	}
	total := 0
	for _, room := range c.rooms {
		list := c.acked[room]
		slices.SortFunc(list, func(a, b [2]string) int {
			if newer(a[0], b[0]) {
				return 1
			}
			return -1
		})
		for i := 1; i < len(list); i++ {
			if list[i][0] == list[i-1][0] {
				c.t.Errorf("%v and %v were acknowledged with one id", list[i], list[i-1])
			}
		}
		total += len(list)
	}
	gaps := 0
	for i, r := range c.readers {
		gaps += len(r.gaps)
		c.check(i, r)
	}
	c.t.Logf("%d messages were acknowledged in %d attempts; %d readers, %d gaps told", total, c.attempts.Load(), len(c.readers), gaps)
}

// check compares what a reader has read with what was acknowledged.
func (c *crowd) check(i int, r *reader) {
	c.t.Helper()
	if r.err != "" {
		c.t.Errorf("reader %d: not in order: %s", i, r.err)
	}
	want := c.acked[r.room][1:] // it began after the first
	if len(r.gaps) == 0 && len(r.seen) != len(want) {
		c.t.Errorf("reader %d has read %d messages of %d", i, len(r.seen), len(want))
	}
	n := 0
	for _, id := range r.seen {
		for n < len(want) && want[n][0] != id {
			n++
			if len(r.gaps) == 0 {
				c.t.Errorf("reader %d lacks %v", i, want[n-1])
				return
			}
		}
		if n == len(want) {
			c.t.Errorf("reader %d has read %s %q, which nobody was told of", i, id, r.text[id])
			return
		}
		if r.text[id] != want[n][1] {
			c.t.Errorf("reader %d has read %q as %s, want %q", i, r.text[id], id, want[n][1])
		}
		n++
	}
}
