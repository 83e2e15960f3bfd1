package push

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/pushtest"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// The first of many messages is pushed at once, and then the newest in each interval.
func TestTheNewestIsPushedInEachInterval(t *testing.T) {
	r := newRig(t)
	kim := r.subscribe("kim")
	for i := range 20 {
		r.say("tea", fmt.Sprint(i))
		if i == 0 {
			kim.Wait(t, 1)
		}
	}
	second := kim.Wait(t, 2)
	if texts := kim.Texts(); !slices.Equal(texts, []string{"0", "19"}) {
		t.Errorf("pushed are %q, want the first and the last", texts)
	}
	time.Sleep(2 * testInterval)
	r.say("tea", "later")
	kim.Wait(t, 3)
	got := kim.Got()
	if gap := second.At.Sub(got[0].At); gap < testInterval*9/10 {
		t.Errorf("two pushes come within %s", gap)
	}
	if got[0].Header.Get("Topic") != second.Header.Get("Topic") {
		t.Error("two pushes of a room have two topics")
	}
	if r.service.Tokens() != 1 {
		t.Errorf("%d tokens were made", r.service.Tokens())
	}
}

// Rooms and subscriptions do not wait for each other, and have topics of their own.
func TestEachRoomHasItsOwnInterval(t *testing.T) {
	r := newRig(t)
	kim, lee := r.service.Subscribe(), r.service.Subscribe()
	for _, b := range []*pushtest.Browser{kim, lee} {
		r.put(b, "kim", func(s *Subscription) { s.Rooms = []string{"tea", "coffee"} })
	}
	r.say("tea", "1")
	r.say("coffee", "2")
	topics := make(map[string]bool)
	for _, b := range []*pushtest.Browser{kim, lee} {
		b.Wait(t, 2)
		for _, p := range b.Got() {
			topics[p.Header.Get("Topic")] = true
		}
		if texts := b.Texts(); !slices.Contains(texts, "1") || !slices.Contains(texts, "2") {
			t.Errorf("pushed are %q", texts)
		}
	}
	if len(topics) != 4 {
		t.Errorf("there are %d topics, want 4", len(topics))
	}
}

// Whoever comes back before the interval is over is not pushed.
func TestWhoComesBackIsNotPushed(t *testing.T) {
	r := newRig(t)
	kim := r.subscribe("kim")
	r.say("tea", "1")
	kim.Wait(t, 1)
	r.say("tea", "2")
	r.is("kim", presence.Here)
	asked := r.asked.Load()
	r.eventually("it is asked who is here", func() bool { return r.asked.Load() > asked })
	r.is("kim", presence.Away)
	time.Sleep(2 * testInterval)
	if texts := kim.Texts(); !slices.Equal(texts, []string{"1"}) {
		t.Errorf("pushed are %q", texts)
	}
}

// What a push service answers decides what becomes of the message, and of the subscription.
func TestAnswersOfPushServices(t *testing.T) {
	t.Parallel()
	service := pushtest.Start(t)
	t.Cleanup(Allow(service.Roots, nil, loopback))
	redirected := new(atomic.Int64)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { redirected.Add(1) }))
	t.Cleanup(elsewhere.Close)
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		reason  string
		again   bool // it is tried again
		forgets bool
		wait    time.Duration // at least
	}{
		"404":                       {status(404), reasonGone, false, true, 0},
		"410":                       {status(410), reasonGone, false, true, 0},
		"400":                       {status(400), reasonRejected, false, false, 0},
		"403":                       {status(403), reasonRejected, false, false, 0},
		"413":                       {status(413), reasonRejected, false, false, 0},
		"a redirect":                {status(307, "Location", elsewhere.URL), reasonRejected, false, false, 0},
		"500":                       {status(500), reasonUnavailable, true, false, testInterval},
		"503 for a moment":          {status(503, "Retry-After", "1"), reasonUnavailable, true, false, time.Second},
		"429 for a moment":          {status(429, "Retry-After", "2"), reasonTooMany, true, false, 2 * time.Second},
		"429 until a date":          {untilADate, reasonTooMany, true, false, 2 * time.Second},
		"429 for ages":              {status(429, "Retry-After", "nonsense"), reasonTooMany, true, false, testInterval},
		"a connection that is cut":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, reasonNetwork, true, false, testInterval},
		"an answer without an end":  {endless, "", false, false, 0},
		"a header without an end":   {bigHeader, reasonNetwork, true, false, testInterval},
		"200, as an old one":        {status(200), "", false, false, 0},
		"204":                       {status(204), "", false, false, 0},
		"an informational response": {status(103), "", false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigAt(t, service, newStorage(t))
			kim := r.subscribe("kim")
			kim.Answer(test.answer)
			r.say("tea", "1")
			first := kim.Wait(t, 1)
			if test.reason == "" {
				r.eventually("it counts as sent", func() bool { return r.Counts.Sent.Load() == 1 })
			} else {
				r.eventually("it counts as "+test.reason, func() bool { return r.Counts.Failed()[test.reason] == 1 })
			}
			kim.Answer(nil)
			if test.again {
				again := kim.Wait(t, 2)
				if wait := again.At.Sub(first.At); wait < test.wait || again.Payload["text"] != "1" {
					t.Errorf("%v is tried again after %s, want %s", again.Payload, wait, test.wait)
				}
				r.eventually("it counts as sent", func() bool { return r.Counts.Sent.Load() == 1 })
				return
			}
			if test.forgets {
				r.eventually("it is forgotten", func() bool { return r.desk.Load().shelf.book.size() == 0 })
				if keys, _ := r.storage.List(t.Context(), "sse_chat/push/default/subscriptions", false); len(keys) > 0 {
					t.Errorf("stored are %q", keys)
				}
			}
			time.Sleep(2 * testInterval)
			if n := len(kim.Got()); n != 1 {
				t.Errorf("it is tried %d times", n)
			}
		})
	}
	t.Cleanup(func() {
		if n := redirected.Load(); n > 0 {
			t.Errorf("%d redirects were followed", n)
		}
	})
}

// untilADate asks to wait for three to four seconds.
func untilADate(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", time.Now().Add(4*time.Second).UTC().Format(http.TimeFormat))
	w.WriteHeader(http.StatusTooManyRequests)
}

// endless answers with a body that does not end.
func endless(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusCreated)
	for {
		if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
			return
		}
	}
}

func bigHeader(w http.ResponseWriter, _ *http.Request) {
	for i := range 1000 {
		w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
	}
	w.WriteHeader(http.StatusCreated)
}

// A message is tried a few times, further and further apart, and then no more.
func TestAMessageIsGivenUp(t *testing.T) {
	r := newRig(t)
	kim := r.subscribe("kim")
	kim.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	r.say("tea", "1")
	kim.Wait(t, maxTries)
	r.eventually("it is dropped", func() bool { return r.Counts.Failed()[reasonDropped] == 1 })
	got := kim.Got()
	for i := 1; i < len(got); i++ {
		least := testInterval << (i - 1)
		if wait := got[i].At.Sub(got[i-1].At); wait < least || wait > 2*least+time.Second {
			t.Errorf("try %d comes after %s, want at least %s", i, wait, least)
		}
	}
	if r.logs.Len() != 1 || !strings.Contains(r.logs.All()[0].Message, r.service.URL) {
		t.Errorf("the log has %v", r.logs.All())
	}
	for _, entry := range r.logs.All() {
		if strings.Contains(fmt.Sprint(entry), kim.Endpoint) {
			t.Errorf("the log has the endpoint: %v", entry)
		}
	}
}

// Services that take connections and say nothing cost the others nothing.
func TestServicesThatHang(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for range 3 {
		hanging := pushtest.Start(t)
		for range maxUnderWay {
			b := hanging.Subscribe()
			b.Answer(func(http.ResponseWriter, *http.Request) { <-release })
			r.put(b, b.Endpoint[30:], func(s *Subscription) { s.Endpoint = strings.Replace(s.Endpoint, "localhost", "127.0.0.1", 1) })
		}
	}
	before := runtime.NumGoroutine()
	r.say("tea", "1")
	r.eventually("some requests hang", func() bool { return r.underWay.Load() == 3*maxUnprovenEach })
	kim := r.subscribe("kim")
	begin := time.Now()
	for i := range 3 {
		r.say("tea", fmt.Sprint(i))
		kim.Wait(t, i+1)
		time.Sleep(testInterval)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("three pushes beside it take %s", took)
	}
	if n := r.underWay.Load(); n > maxUnproven {
		t.Errorf("%d requests hang", n)
	}
	begin = time.Now()
	r.Close()
	if took := time.Since(begin); took > 2*Farewell {
		t.Errorf("the end takes %s", took)
	}
	chattest.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+20 })
}

// Too many messages at once: the oldest are dropped, and nobody waits.
func TestTooManyMessages(t *testing.T) {
	r := newRig(t)
	kim := r.subscribe("kim")
	r.say("tea", "first")
	kim.Wait(t, 1)
	begin := time.Now()
	for i := range 5 * maxQueued {
		r.say("tea", fmt.Sprint(i))
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("%d messages take %s", 5*maxQueued, took)
	}
	if p := kim.Wait(t, 2); p.Payload["text"] != fmt.Sprint(5*maxQueued-1) {
		t.Errorf("pushed is %v", p.Payload)
	}
	r.Sender.mu.Lock()
	defer r.Sender.mu.Unlock()
	if n := len(r.queue); n > maxQueued {
		t.Errorf("%d wait", n)
	}
}

// What was pushed lately and what waits does not pile up.
func TestNothingIsLeftOfWhatWasPushed(t *testing.T) {
	r := newRig(t)
	kim := r.subscribe("kim")
	r.say("tea", "1")
	kim.Wait(t, 1)
	r.Close() // so that the goroutine's values can be looked at
	now := time.Now().Add(time.Minute)
	for range maxUnderWay {
		select {
		case res := <-r.rounds.results:
			r.rounds.settle(res, now)
		default:
		}
	}
	r.rounds.run(nil, now.Add(time.Minute))
	if n := len(r.rounds.recipients) + len(r.rounds.due) + len(r.rounds.outbox.services) + len(r.rounds.outbox.ready); n > 0 {
		t.Errorf("%d entries are left: %+v", n, r.rounds)
	}
}

// What waits is pushed as it is then, and not at all if it was deleted or forgotten.
func TestWhatWaitsIsPushedAsItIsThen(t *testing.T) {
	text := func(id int64, room, text string) *store.Message {
		return store.NewMessage(store.ID{Ms: id}, room, store.Draft{Text: text, Owner: store.OwnerByName("lee")})
	}
	r := newRig(t)
	kim := r.service.Subscribe()
	rooms := []string{"edited", "deleted", "forgotten", "forgotten before"}
	r.put(kim, "kim", func(s *Subscription) { s.Rooms = rooms })
	for i, room := range rooms {
		r.Notify(text(int64(i), room, "first"))
	}
	kim.Wait(t, 4)
	for i, room := range rooms {
		r.Notify(text(int64(i+10), room, "second"))
	}
	r.Changed(text(10, "edited", "better"), store.ID{Ms: 20})
	r.Changed(text(99, "edited", "another"), store.ID{Ms: 20})
	r.Deleted("", store.ID{Ms: 11}, store.ID{Ms: 21})
	r.Forgotten("forgotten", store.ID{Ms: 12}, store.ID{Ms: 22})
	r.Forgotten("forgotten before", store.ID{Ms: 12}, store.ID{Ms: 22})
	kim.Wait(t, 6)
	time.Sleep(2 * testInterval)
	var got []string
	for _, p := range kim.Got()[4:] {
		got = append(got, p.Payload["room"]+": "+p.Payload["text"])
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"edited: better", "forgotten before: second"}) {
		t.Errorf("pushed are %q", got)
	}
	r.eventually("nothing waits", func() bool {
		r.Deleted("", store.ID{Ms: 1}, store.ID{Ms: 2})
		r.mu.Lock()
		defer r.mu.Unlock()
		return !r.news.wanted && len(r.news.changed) == 0
	})
}

// What is deleted while its request is under way is not tried again, though much else is
// changed meanwhile.
func TestWhatIsDeletedUnderWayIsNotTriedAgain(t *testing.T) {
	r := newRig(t)
	kim := r.subscribe("kim")
	answer := make(chan struct{})
	kim.Answer(func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		w.WriteHeader(http.StatusInternalServerError)
	})
	r.say("tea", "1")
	kim.Wait(t, 1)
	r.Deleted("", store.ID{Ms: 1}, store.ID{Ms: 99})
	for i := range keptNews {
		r.Deleted("", store.ID{Ms: int64(i) + 1000}, store.ID{Ms: 99})
		r.Forgotten(fmt.Sprint("room ", i), store.ID{Ms: 1}, store.ID{Ms: 99})
	}
	r.say("coffee", "so that the news is read")
	r.eventually("it is read", func() bool {
		r.Sender.mu.Lock()
		defer r.Sender.mu.Unlock()
		return r.news.size() == 0 && len(r.queue) == 0
	})
	close(answer)
	r.eventually("nothing waits", func() bool {
		r.Sender.mu.Lock()
		defer r.Sender.mu.Unlock()
		return !r.news.wanted
	})
	if n := len(kim.Got()); n != 1 {
		t.Errorf("it is tried %d times", n)
	}
	r.Close()
	if n := r.rounds.news.size(); n > keptNews {
		t.Errorf("%d news are kept", n)
	}
}

// A message that was edited is prepared once, however many wait for it, until it is edited
// again.
func TestAnEditedMessageIsPreparedOnce(t *testing.T) {
	id := store.ID{Ms: 1}
	message := func(text string) *store.Message { return store.NewMessage(id, "tea", store.Draft{Text: text}) }
	old := noticeOf(message("first"), start)
	var n news
	for _, text := range []string{"second", "third"} {
		n.add(news{changed: map[store.ID]*store.Message{id: message(text)}})
		now := n.current(old)
		if now.text != text || n.current(old) != now || n.current(now) != now {
			t.Errorf("after it was edited to %q it is %q, made anew: %t", text, now.text, n.current(old) != now)
		}
	}
}
