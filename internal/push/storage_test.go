package push

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/pushtest"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// No address that is not public is connected to, whatever a name leads to, and whether it leads
// elsewhere than before.
func TestNothingPrivateIsConnectedTo(t *testing.T) {
	service := pushtest.Start(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connected := new(atomic.Int64)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connected.Add(1)
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	names := newNames(t, "192.0.2.1", "127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1")
	t.Cleanup(Allow(service.Roots, names.resolver()))
	r := newRigAt(t, service, newStorage(t))
	for i, host := range []string{"localhost", "rebind.example", "localhost.", "ip6-localhost"} {
		b := service.Subscribe()
		r.put(b, fmt.Sprint("p", i), func(s *Subscription) { s.Endpoint = "https://" + host + ":" + port + "/a" })
	}
	if n := names.asked.Load(); n > 0 {
		t.Errorf("%d names were looked up to subscribe", n)
	}
	for i := range 4 {
		r.say("tea", fmt.Sprint(i))
		time.Sleep(2 * testInterval)
	}
	r.eventually("all were refused", func() bool { return r.Counts.Failed()[reasonAddress] >= 4 })
	if n := connected.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
	if names.asked.Load() == 0 || r.Counts.Sent.Load() > 0 {
		t.Errorf("%d lookups, %d sent", names.asked.Load(), r.Counts.Sent.Load())
	}
}

// A reload to another storage has its key and its subscriptions, and the other way round.
func TestAnotherStorage(t *testing.T) {
	r := newRig(t)
	kim := r.subscribe("kim")
	first, err := r.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leave := r.Use(newStorage(t), "mailto:b@example.com", r.desk.Load().logger)
	second, err := r.Key(t.Context())
	if err != nil || second == first {
		t.Errorf("the key is %q, %v", second, err)
	}
	r.say("tea", "nobody")
	lee := r.subscribe("sam")
	r.say("tea", "1")
	lee.Wait(t, 1)
	leave()
	r.say("tea", "2")
	if p := kim.Wait(t, 1); p.Payload["text"] != "2" {
		t.Errorf("pushed is %v", p.Payload)
	}
	if third, err := r.Key(t.Context()); err != nil || third != first {
		t.Errorf("the key is %q, %v", third, err)
	}
	// the same storage again keeps what is known
	again := r.Use(r.storage, "mailto:c@example.com", r.desk.Load().logger)
	r.leave()
	if r.desk.Load().shelf.book.size() != 1 {
		t.Error("the subscriptions were forgotten")
	}
	again()
}

// A storage that hangs delays neither those who publish nor, for long, who is pushed.
func TestAStorageThatHangs(t *testing.T) {
	service := pushtest.Start(t)
	t.Cleanup(Allow(service.Roots, nil, loopback))
	storage := &fragile{Storage: newStorage(t)}
	r := newRigAt(t, service, newStorage(t))
	leave := r.Use(storage, "mailto:a@example.com", r.desk.Load().logger)
	defer leave()
	kim := r.subscribe("kim")
	r.say("tea", "1")
	kim.Wait(t, 1)
	hangs := make(chan struct{})
	storage.set(hangs, nil)
	time.Sleep(checkEvery)
	for i := range 3 {
		begin := time.Now()
		r.say("tea", fmt.Sprint(i))
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("to hand a message over takes %s", took)
		}
		kim.Wait(t, 2+i)
		if took := time.Since(begin); i > 0 && took > lookLimit {
			t.Errorf("the push takes %s", took)
		}
		time.Sleep(testInterval)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Put(ctx, newSub(t, "https://push.example/a")); err == nil {
		t.Error("a subscription was stored")
	}
	close(hangs)
}

// A storage that fails is an error to whoever subscribes, and is logged once.
func TestAStorageThatFails(t *testing.T) {
	service := pushtest.Start(t)
	t.Cleanup(Allow(service.Roots, nil, loopback))
	storage := &fragile{Storage: newStorage(t)}
	r := newRigAt(t, service, newStorage(t))
	defer r.Use(storage, "mailto:a@example.com", r.desk.Load().logger)()
	storage.set(nil, io.ErrUnexpectedEOF)
	if err := r.Put(t.Context(), newSub(t, "https://push.example/a")); err == nil {
		t.Error("a subscription was stored")
	}
	if _, err := r.Key(t.Context()); err == nil {
		t.Error("there is a key")
	}
	for range 3 {
		r.say("tea", "1")
		time.Sleep(50 * time.Millisecond)
	}
	r.eventually("it is counted", func() bool { return r.Counts.Failed()[reasonStorage] == 1 })
	if r.logs.Len() != 1 {
		t.Errorf("the log has %v", r.logs.All())
	}
	storage.set(nil, nil)
	if _, err := r.Key(t.Context()); err != nil {
		t.Error(err)
	}
	kim := r.subscribe("kim")
	r.say("tea", "2")
	kim.Wait(t, 1)
	if err := r.Forget(t.Context(), kim.Endpoint); err != nil {
		t.Error(err)
	}
}

// A nil sender, and a message that is none, are nothing to do.
func TestNothingToPush(t *testing.T) {
	var none *Sender
	none.Notify(store.NewMessage(store.ID{Ms: 1}, "a", store.Draft{Text: "x"}))
	r := newRig(t)
	r.Notify(nil)
	r.say("nobody", "x")
	time.Sleep(50 * time.Millisecond)
	if len(r.Counts.Failed()) != len(reasons) || r.asked.Load() > 0 {
		t.Errorf("%v, %d", r.Counts.Failed(), r.asked.Load())
	}
}

// What has waited for long is not pushed to a subscription that another node has forgotten.
func TestWhatWaitsKnowsOtherNodes(t *testing.T) {
	r := newRig(t)
	kim := r.subscribe("kim")
	kim.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	r.say("tea", "1")
	kim.Wait(t, 1)
	if err := newBook(r.storage, "default").remove(t.Context(), kim.Endpoint); err != nil {
		t.Fatal(err)
	}
	r.eventually("nothing waits", func() bool {
		r.Sender.mu.Lock()
		defer r.Sender.mu.Unlock()
		return !r.news.wanted
	})
	if n := len(kim.Got()); n != 1 {
		t.Errorf("it is tried %d times", n)
	}
}

// Who comes back, or unsubscribes, while a request waits for its turn is not pushed.
func TestWhatWaitsForItsTurnIsCheckedAgain(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	var browsers []*pushtest.Browser
	for i := range 4 * maxUnprovenEach {
		b := r.service.Subscribe()
		b.Answer(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			w.WriteHeader(http.StatusCreated)
		})
		r.put(b, fmt.Sprint(i), func(*Subscription) {})
		browsers = append(browsers, b)
	}
	got := func() (n int) {
		for _, b := range browsers {
			n += len(b.Got())
		}
		return n
	}
	r.say("tea", "1")
	r.eventually("some of them have a request", func() bool { return got() == maxUnprovenEach })
	for i, b := range browsers {
		if i%2 == 0 {
			r.is(fmt.Sprint(i), presence.Here)
		} else if err := r.Forget(t.Context(), b.Endpoint); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(staysTrue)
	close(release)
	r.eventually("all requests have ended", func() bool { return r.Counts.Sent.Load() == maxUnprovenEach })
	time.Sleep(2 * testInterval)
	if n := got(); n != maxUnprovenEach {
		t.Errorf("%d are pushed, want %d", n, maxUnprovenEach)
	}
}

// A subscription that is repeated each day is not the oldest of a person.
func TestARepeatRenewsASubscription(t *testing.T) {
	storage := newStorage(t)
	a := newBook(storage, "default")
	daily := a.mustPut(t, "daily")
	a.mustPut(t, "dead", func(s *Subscription) { s.Made++ })
	again := *daily
	again.Made += renewAfter.Milliseconds()
	if err := a.put(t.Context(), &again); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*book{a, newBook(storage, "default").now(t)} {
		wantEndpoints(t, b, "tea", "daily", "dead")
		if made := b.find(daily.Endpoint).Made; made != again.Made {
			t.Errorf("it was made at %d, want %d", made, again.Made)
		}
	}
}
