package ssechat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

func init() { caddy.RegisterModule(heldStores{}) }

// heldStores opens stores that hold back the first message whose text is
// "held" until the test lets it go.
type heldStores struct{}

var held struct {
	once sync.Once
	came chan struct{}
	let  chan error
}

func (heldStores) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.sse_chat.stores.held", New: func() caddy.Module { return new(heldStores) }}
}

func (*heldStores) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }
func (*heldStores) Place() string                                 { return "held" }

func (*heldStores) Open(_ string, hub store.Hub, limits store.Limits) (store.Store, error) {
	held.once, held.came, held.let = sync.Once{}, make(chan struct{}), make(chan error)
	return &heldStore{memory.Open(hub, limits)}, nil
}

type heldStore struct{ *memory.Store }

func (s *heldStore) Append(ctx context.Context, room string, drafts []store.Draft) (receipts []store.Receipt, err error) {
	if drafts[0].Text == "held" {
		held.once.Do(func() {
			close(held.came)
			select {
			case err = <-held.let:
			case <-ctx.Done():
			}
		})
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return s.Store.Append(ctx, room, drafts)
}

const heldMessage = `{"text":"held","nonce":"n"}`

// goroutinesIn returns how many goroutines are in a function.
func goroutinesIn(function string) int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), function+"(")
}

// A repeat whose first is still under way waits for it, and does not count.
func TestRepeatsOfWhatIsUnderWayDoNotCount(t *testing.T) {
	s := serve(t, "store held\nrate 1 1h")
	const repeats = 20
	answers := make(chan answer, repeats)
	send := func() { answers <- s.do(t, http.MethodPost, "/update", heldMessage) }
	go send()
	<-held.came
	for range repeats - 1 {
		go send()
	}
	eventually(t, "all repeats wait", func() bool { return goroutinesIn("(*noncesInFlight).begin") == repeats-1 })
	held.let <- nil
	first := <-answers
	if first.status != http.StatusOK {
		t.Fatalf("%d %s", first.status, first.body)
	}
	for range repeats - 1 {
		if a := <-answers; a.body != first.body {
			t.Errorf("a repeat: %d %s, want %s", a.status, a.body, first.body)
		}
	}
	if a := s.do(t, http.MethodPost, "/update", `{"text":"another"}`); a.status != http.StatusTooManyRequests {
		t.Errorf("what is no repeat: %d %s", a.status, a.body)
	}
}

// One who hangs up is charged for the message nevertheless, because it is
// stored, but not for its repeat.
func TestWhoHangsUpIsChargedOnce(t *testing.T) {
	s := serve(t, "store held\nrate 1 1h")
	ctx, hangUp := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/update", strings.NewReader(heldMessage))
	if err != nil {
		t.Fatal(err)
	}
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		if response, err := s.client.Do(request); err == nil {
			response.Body.Close()
			t.Errorf("the first is answered %s", response.Status)
		}
	}()
	<-held.came
	hangUp()
	<-hungUp
	again := make(chan answer)
	go func() { again <- s.do(t, http.MethodPost, "/update", heldMessage) }()
	eventually(t, "the repeat waits", func() bool { return goroutinesIn("(*noncesInFlight).begin") == 1 })
	held.let <- nil
	if a := <-again; a.status != http.StatusOK {
		t.Errorf("the repeat: %d %s", a.status, a.body)
	}
	if a := s.do(t, http.MethodPost, "/update", `{"text":"another"}`); a.status != http.StatusTooManyRequests {
		t.Errorf("another: %d %s", a.status, a.body)
	}
	if n := len(s.history(t)); n != 1 {
		t.Errorf("%d messages are stored", n)
	}
}

// What is not stored does not count: after a 503 the message can be repeated.
func TestWhatIsNotStoredDoesNotCount(t *testing.T) {
	s := serve(t, "store held\nrate 1 1h")
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusOK, http.StatusOK} {
		if status == http.StatusServiceUnavailable {
			go func() { held.let <- errors.New("the disk is on fire") }()
		}
		if a := s.do(t, http.MethodPost, "/update", heldMessage); a.status != status {
			t.Errorf("%d %s, want %d", a.status, a.body, status)
		}
	}
	if a := s.do(t, http.MethodPost, "/update", `{"text":"another"}`); a.status != http.StatusTooManyRequests {
		t.Errorf("another: %d %s", a.status, a.body)
	}
}

// Batches that have nonces in common, in any order, do not wait for each other
// for ever.
func TestBatchesThatShareNonces(t *testing.T) {
	s := serve(t, "rate 1000 1h")
	nonces := []string{"a", "b", "c", "d"}
	var wg sync.WaitGroup
	for i := range 40 {
		body := ""
		for j := range nonces {
			body += fmt.Sprintf("{\"text\":\"x\",\"nonce\":%q}\n", nonces[(i*(j+1)+j)%len(nonces)])
		}
		wg.Go(func() {
			if a := s.do(t, http.MethodPost, "/update", body, "Content-Type: application/x-ndjson"); a.status != http.StatusOK {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if n := len(s.history(t)); n != len(nonces) {
		t.Errorf("%d messages are stored, want %d", n, len(nonces))
	}
}

// A batch that can never pass is told so, rather than to come back later.
func TestABatchLargerThanTheRate(t *testing.T) {
	s := serve(t, "rate 3 1m")
	batch := func(n int) string {
		body := ""
		for i := range n {
			body += fmt.Sprintf("{\"text\":\"x\",\"nonce\":\"%d\"}\n", i)
		}
		return body
	}
	for _, test := range []struct {
		lines, status int
		want          string
	}{
		{4, http.StatusBadRequest, "the batch has 4 new messages, but only 3 may be sent within 1m0s: split it"},
		{3, http.StatusOK, ""},
		{3, http.StatusOK, ""}, // all are repeats
		{4, http.StatusTooManyRequests, "3 may be sent within 1m0s"},
		{7, http.StatusBadRequest, "the batch has 4 new messages, but only 3"},
	} {
		a := s.do(t, http.MethodPost, "/update", batch(test.lines), "Content-Type: application/x-ndjson")
		if a.status != test.status || test.want != "" && !strings.Contains(a.message(t), test.want) {
			t.Errorf("%d lines: %d %s, want %d %s", test.lines, a.status, a.body, test.status, test.want)
		}
	}
}
