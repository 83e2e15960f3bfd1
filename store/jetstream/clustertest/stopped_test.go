package clustertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// large is a batch that fills all that lies between a node and a server that
// reads nothing.
func large(nonce string) []store.Draft {
	drafts := make([]store.Draft, 1000)
	for i := range drafts {
		drafts[i] = store.Draft{Text: strings.Repeat("x", 8<<10), Nonce: fmt.Sprint(nonce, "-", i)}
	}
	return drafts
}

// prompt is how long a call may take that does not have to wait, on a machine
// that has other things to do.
const prompt = time.Second

// A server that is stopped holds nobody up who does not need it, and the others
// for no longer than they want to wait. When it goes on, so does all.
func TestACallEndsWithItsContextWhileNATSIsStopped(t *testing.T) {
	nats := startNATSProcess(t)
	module := &jetstream.Module{URLs: []string{nats.url}, Stream: newStream()}
	hub := new(peerHub)
	opened := open(t, module, hub, storetest.Plenty)
	s := opened.(interface {
		store.Store
		store.Witness
		store.Lister
		store.Relay
	})
	first := storetest.MustAppend(t, s, "a", store.Draft{Text: "x", Nonce: "n"}, storetest.Text("y"))
	span := store.Span{Rooms: []string{"a"}, UpTo: first[1].ID}
	ahead := first[1].ID
	ahead.N += 5

	nats.stop(t)
	var publishing sync.WaitGroup
	limit, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	for i := range 4 {
		publishing.Go(func() {
			begin := time.Now()
			_, err := s.Append(limit, "b", large(fmt.Sprint(i)))
			if err == nil || time.Since(begin) > 8*time.Second+prompt {
				t.Errorf("a batch is answered %v after %s", err, time.Since(begin))
			}
		})
	}
	within := func(what string, most time.Duration, call func(context.Context) error) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		begin := time.Now()
		err := call(ctx)
		if took := time.Since(begin); took > most+prompt {
			t.Errorf("%s took %s, and was to end after %s: %v", what, took, most, err)
		}
		return err
	}
	const limitOfAll = 200 * time.Millisecond
	for begin := time.Now(); time.Since(begin) < 7*time.Second; {
		for what, call := range map[string]func(context.Context) error{
			"After": func(ctx context.Context) error { _, err := s.After(ctx, span, 10); return err },
			"Before": func(ctx context.Context) error {
				_, err := s.Before(ctx, "a", first[1].ID.Next(), 10)
				return err
			},
			"Rooms":   func(ctx context.Context) error { _, err := s.Rooms(ctx); return err },
			"Witness": func(ctx context.Context) error { _, err := s.Witness(ctx, ahead); return err },
			"Delete":  func(ctx context.Context) error { return s.Delete(ctx, first[1].ID) },
			"Forget":  func(ctx context.Context) error { return s.Forget(ctx, "a") },
			"Append": func(ctx context.Context) error {
				_, err := s.Append(ctx, "c", []store.Draft{storetest.Text("x")})
				return err
			},
		} {
			if err := within(what, limitOfAll, call); err == nil {
				t.Errorf("%s: no error, and NATS is stopped", what)
			}
		}
		// what this node knows by itself
		for what, call := range map[string]func(context.Context) error{
			"State":          func(context.Context) error { s.State(); return nil },
			"Find":           func(ctx context.Context) error { _, err := s.Find(ctx, "a", "", "n"); return err },
			"Tail":           func(ctx context.Context) error { _, err := s.Tail(ctx, []string{"a"}, first[1].ID, 1); return err },
			"Witness of one": func(ctx context.Context) error { _, err := s.Witness(ctx, first[0].ID); return err },
			"Tell": func(context.Context) error {
				if err := s.Tell([]byte("x")); err != nil && !strings.Contains(err.Error(), "too many") {
					return err
				}
				return nil
			},
		} {
			if err := within(what, 0, call); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	publishing.Wait()
	nats.goOn(t)
	after := mustAppend(t, s, "a", "after")
	if ids, _ := readAll(t, s, first[1].ID, "a"); len(ids) != 1 || ids[0] != after {
		t.Errorf("afterwards it reads %v, want %v", ids, after)
	}

	// and a store can be closed meanwhile
	nats.stop(t)
	waiting := make(chan error, 2)
	go func() {
		_, err := s.Append(context.Background(), "b", large("last"))
		waiting <- err
	}()
	go func() {
		_, err := s.Witness(context.Background(), store.ID{Ms: after.Ms, N: after.N + 5000})
		waiting <- err
	}()
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("the store was closed after %s", took)
	}
	for range 2 {
		select {
		case err := <-waiting:
			if err == nil {
				t.Error("one who waited for a store that was closed is told nothing")
			}
		case <-time.After(5 * time.Second):
			t.Fatal("one who waits for a store that is closed waits on")
		}
	}
	nats.goOn(t)
}

// Readers of a node notice nothing while its NATS is stopped: heartbeats come,
// presence does, and new streams begin. Publishers are told 503 in time.
func TestReadersGoOnWhileNATSIsStopped(t *testing.T) {
	nats := startNATSProcess(t)
	url := "http://127.0.0.1:" + chattest.FreePort(t)
	caddytest.Start(t, url, strings.Replace(directive(1000, []string{nats.url}, ""), "retain", "heartbeat 1s\n\t\tretain", 1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waitFor(t, "a first message", func() bool {
		status, _ := post(ctx, url, "a", "first", "first")
		return status == http.StatusOK
	})

	var mu sync.Mutex
	var silence time.Duration // the longest between two events
	last, seen, hellos := time.Now(), []string{}, 0
	heard := func(e chattest.Event) bool {
		mu.Lock()
		defer mu.Unlock()
		silence, last = max(silence, time.Since(last)), time.Now()
		if e.ID != "" && e.Name == "" {
			var m struct{ Text string }
			_ = json.Unmarshal([]byte(e.Data), &m)
			seen = append(seen, m.Text)
		}
		if e.Name == "gap" {
			t.Errorf("a reader is told of a gap: %s", e.Data)
		}
		return true
	}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		_ = subscribe(ctx, url, "room=a&events=1", "", heard)
	}()
	waitFor(t, "the stream", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return silence > 0
	})

	nats.stop(t)
	var body bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&body, `{"text":"%s","nonce":"n-%d"}`+"\n", strings.Repeat("x", 8000), i)
	}
	var publishing sync.WaitGroup
	for range 3 {
		publishing.Go(func() {
			begin := time.Now()
			response, err := http.Post(url+"/update?room=b", "application/x-ndjson", bytes.NewReader(body.Bytes()))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusServiceUnavailable || time.Since(begin) > 14*time.Second {
				t.Errorf("a batch is answered %d after %s", response.StatusCode, time.Since(begin))
			}
		})
	}
	mu.Lock()
	silence, last = 0, time.Now()
	mu.Unlock()
	// people come and go, which has to be told to other nodes
	for begin := time.Now(); time.Since(begin) < 12*time.Second; {
		few, enough := context.WithTimeout(ctx, 5*time.Second)
		first := time.Now()
		_ = subscribe(few, url, fmt.Sprintf("room=a&events=1&name=n%d", hellos), "", func(e chattest.Event) bool {
			if e.Name == "hello" {
				hellos++
			}
			return e.Name != "hello"
		})
		if took := time.Since(first); took > 3*time.Second {
			t.Errorf("a new stream began after %s", took)
		}
		enough()
		time.Sleep(50 * time.Millisecond)
	}
	publishing.Wait()
	mu.Lock()
	t.Logf("%d streams began meanwhile, the longest silence was %s", hellos, silence)
	if silence > 4*time.Second {
		t.Errorf("a reader heard nothing for %s", silence)
	}
	mu.Unlock()
	if hellos < 10 {
		t.Errorf("only %d streams began", hellos)
	}

	nats.goOn(t)
	waitFor(t, "a message is taken again", func() bool {
		status, _ := post(ctx, url, "a", "after", "after")
		return status == http.StatusOK
	})
	waitFor(t, "the reader has it", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == 1 && seen[0] == "after"
	})
	cancel()
	<-reading
}
