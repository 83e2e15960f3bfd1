package tests

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
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

// A repeat whose first is still under way waits for it, and does not count.
func TestRepeatsOfWhatIsUnderWayDoNotCount(t *testing.T) {
	s := caddytest.Serve(t, "store held\nrate 1 1h")
	const repeats = 20
	answers := make(chan chattest.Answer, repeats)
	send := func() { answers <- s.Do(t, http.MethodPost, "/update", heldMessage) }
	go send()
	<-held.came
	for range repeats - 1 {
		go send()
	}
	chattest.Eventually(t, "all repeats wait", func() bool { return chattest.GoroutinesIn("(*Nonces).Begin") == repeats-1 })
	held.let <- nil
	first := <-answers
	if first.Status != http.StatusOK {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	for range repeats - 1 {
		if a := <-answers; a.Body != first.Body {
			t.Errorf("a repeat: %d %s, want %s", a.Status, a.Body, first.Body)
		}
	}
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"another"}`); a.Status != http.StatusTooManyRequests {
		t.Errorf("what is no repeat: %d %s", a.Status, a.Body)
	}
}

// One who hangs up is charged for the message nevertheless, because it is
// stored, but not for its repeat.
func TestWhoHangsUpIsChargedOnce(t *testing.T) {
	s := caddytest.Serve(t, "store held\nrate 1 1h")
	ctx, hangUp := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/update", strings.NewReader(heldMessage))
	if err != nil {
		t.Fatal(err)
	}
	hungUp := make(chan struct{})
	go func() {
		defer close(hungUp)
		if response, err := s.Client.Do(request); err == nil {
			response.Body.Close()
			t.Errorf("the first is answered %s", response.Status)
		}
	}()
	<-held.came
	hangUp()
	<-hungUp
	again := make(chan chattest.Answer)
	go func() { again <- s.Do(t, http.MethodPost, "/update", heldMessage) }()
	chattest.Eventually(t, "the repeat waits", func() bool { return chattest.GoroutinesIn("(*Nonces).Begin") == 1 })
	held.let <- nil
	if a := <-again; a.Status != http.StatusOK {
		t.Errorf("the repeat: %d %s", a.Status, a.Body)
	}
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"another"}`); a.Status != http.StatusTooManyRequests {
		t.Errorf("another: %d %s", a.Status, a.Body)
	}
	if n := len(s.History(t, "lobby")); n != 1 {
		t.Errorf("%d messages are stored", n)
	}
}

// What is not stored does not count: after a 503 the message can be repeated.
func TestWhatIsNotStoredDoesNotCount(t *testing.T) {
	s := caddytest.Serve(t, "store held\nrate 1 1h")
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusOK, http.StatusOK} {
		if status == http.StatusServiceUnavailable {
			go func() { held.let <- errors.New("the disk is on fire") }()
		}
		if a := s.Do(t, http.MethodPost, "/update", heldMessage); a.Status != status {
			t.Errorf("%d %s, want %d", a.Status, a.Body, status)
		}
	}
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"another"}`); a.Status != http.StatusTooManyRequests {
		t.Errorf("another: %d %s", a.Status, a.Body)
	}
}

// Batches that have nonces in common, in any order, do not wait for each other
// for ever.
func TestBatchesThatShareNonces(t *testing.T) {
	s := caddytest.Serve(t, "rate 1000 1h")
	nonces := []string{"a", "b", "c", "d"}
	var wg sync.WaitGroup
	for i := range 40 {
		body := ""
		for j := range nonces {
			body += fmt.Sprintf("{\"text\":\"x\",\"nonce\":%q}\n", nonces[(i*(j+1)+j)%len(nonces)])
		}
		wg.Go(func() {
			if a := s.Do(t, http.MethodPost, "/update", body, "Content-Type: application/x-ndjson"); a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	wg.Wait()
	if n := len(s.History(t, "lobby")); n != len(nonces) {
		t.Errorf("%d messages are stored, want %d", n, len(nonces))
	}
}

// A batch that can never pass is told so, rather than to come back later.
func TestABatchLargerThanTheRate(t *testing.T) {
	s := caddytest.Serve(t, "rate 3 1m")
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
		a := s.Do(t, http.MethodPost, "/update", batch(test.lines), "Content-Type: application/x-ndjson")
		if a.Status != test.status || test.want != "" && !strings.Contains(a.ErrorText(t), test.want) {
			t.Errorf("%d lines: %d %s, want %d %s", test.lines, a.Status, a.Body, test.status, test.want)
		}
	}
}

// The repeat of a change is answered although its client has sent too much since.
func TestARepeatOfAChangeDoesNotCount(t *testing.T) {
	s := caddytest.Serve(t, "rate 2 1h")
	m := post(t, s, "/update", `{"text":"x"}`, keyOfKim)
	path := "/update?id=" + m.ID
	for range 3 {
		if a := s.Do(t, http.MethodPatch, path, `{"append":"y","nonce":"n"}`, keyOfKim); a.Status != 200 || !strings.Contains(a.Body, `"text":"xy"`) {
			t.Errorf("a repeat is answered %d %s", a.Status, a.Body)
		}
	}
	if a := s.Do(t, http.MethodPatch, path, `{"append":"y","nonce":"m"}`, keyOfKim); a.Status != 429 {
		t.Errorf("another change is answered %d %s", a.Status, a.Body)
	}
	if a := s.Do(t, http.MethodDelete, path, "", keyOfKim); a.Status != 429 {
		t.Errorf("a deletion is answered %d %s", a.Status, a.Body)
	}
}
