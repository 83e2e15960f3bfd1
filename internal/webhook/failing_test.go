package webhook

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// What a site does not accept comes again, whatever it answers.
func TestWhatIsNotAcceptedComesAgain(t *testing.T) {
	elsewhere := chattest.NewBackend(t, "")
	release := make(chan struct{})
	defer close(release)
	for name, answer := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"400": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"304": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"hang": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
			panic(http.ErrAbortHandler)
		},
		"cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"large": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.Copy(w, io.LimitReader(endless{}, 10<<20))
		},
		"garbage": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "220 smtp.example.com ready\r\n")
				conn.Close()
			}
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := chattest.NewBackend(t, "")
			h := openHub(t, "", plenty)
			h.direct(t, b)
			b.Answer(answer)
			h.publish(t, "a", "1", "2")
			chattest.Eventually(t, "it is tried again", func() bool { return b.Requests() >= 3 })
			h.publish(t, "a", "3")
			if n := len(b.Items()); n > 0 {
				t.Errorf("%d items count as accepted", n)
			}
			b.Answer(nil)
			h.has(t, b, "a")
			if h.sender.Failures() < 2 {
				t.Errorf("%d failures are counted", h.sender.Failures())
			}
		})
	}
	if elsewhere.Requests() > 0 {
		t.Error("a redirect is followed")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// Of an answer only the status counts: its body neither costs memory nor time.
func TestTheBodyOfAnAnswerDoesNotMatter(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"large": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, io.LimitReader(endless{}, 10<<20)) },
		"never ends": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"broken": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := chattest.NewBackend(t, "")
			b.Answer(answer)
			h := openHub(t, "", plenty)
			h.sender.limits.timeout = time.Minute
			h.direct(t, b)
			begin := time.Now()
			for i := range 3 {
				h.publish(t, "a", fmt.Sprint(i))
				h.has(t, b, "a")
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("three batches took %s", took)
			}
			if n := h.sender.Failures(); n > 0 {
				t.Errorf("%d failures", n)
			}
		})
	}
}

// That a site fails for long is reported once, and that it is back.
func TestReportsOfASiteThatFails(t *testing.T) {
	b := chattest.NewBackend(t, "")
	h := openHub(t, "", plenty)
	h.direct(t, b)
	b.AnswerStatus(http.StatusServiceUnavailable)
	h.publish(t, "a", "1")
	time.Sleep(h.sender.limits.down / 2) // it is too early
	if said := h.reports(); len(said) > 0 {
		t.Errorf("it was reported at once: %q", said)
	}
	chattest.Eventually(t, "it is reported", func() bool { return len(h.reports()) > 0 })
	before := b.Requests()
	chattest.Eventually(t, "it goes on", func() bool { return b.Requests() > before+3 })
	if lag := h.sender.Lag(time.Now()); lag < h.sender.limits.down || lag > time.Minute {
		t.Errorf("the lag is %s", lag)
	}
	b.Answer(nil)
	h.has(t, b, "a")
	chattest.Eventually(t, "its return is reported", func() bool { return len(h.reports()) > 1 })
	if said := h.reports(); !slices.Equal(said, []string{"down: the answer has the status 503", "up"}) {
		t.Errorf("the reports are %q", said)
	}
}

// A site that is not there yet is told once it is.
func TestASiteThatComesLate(t *testing.T) {
	addr := chattest.FreeAddr(t)
	h := openHub(t, "", plenty)
	h.sender.Direct(&Target{URL: "http://" + addr + "/?token=geheim"})
	h.follows(t)
	h.publish(t, "a", "1")
	chattest.Eventually(t, "it is reported", func() bool { return len(h.reports()) > 0 })
	if said := h.reports()[0]; !strings.Contains(said, "refused") || strings.Contains(said, "geheim") {
		t.Errorf("the report is %q", said)
	}
	h.has(t, chattest.NewBackendAt(t, addr, ""), "a")
}

// Nothing is told that was deleted while the site was away.
func TestWhatWasDeletedMeanwhileIsNotTold(t *testing.T) {
	for _, name := range []string{"memory", "bolt"} {
		t.Run(name, func(t *testing.T) {
			path := ""
			if name == "bolt" {
				path = filepath.Join(t.TempDir(), "chat.db")
			}
			b := chattest.NewBackend(t, "")
			h := openHub(t, path, plenty)
			h.direct(t, b)
			b.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
			secret := h.publish(t, "a", "secret", "other")[0]
			edited := h.publish(t, "a", "wrong")[0]
			chattest.Eventually(t, "it was tried", func() bool { return b.Requests() > 1 })
			h.change(t, "a", secret, store.Delete, "")
			h.change(t, "a", edited, store.Edit, "right")
			before := b.Requests()
			chattest.Eventually(t, "it was tried again", func() bool { return b.Requests() > before+1 })
			b.Answer(nil)
			h.has(t, b, "a")
			for _, item := range b.Items() {
				if strings.Contains(string(item.Message), "secret") || strings.Contains(string(item.Message), "wrong") {
					t.Errorf("it was told %s", item.Message)
				}
			}
		})
	}
}

// An exit gives a request some time, and a request to a site that is not asked any more too.
func TestARequestUnderWayMayEnd(t *testing.T) {
	b := chattest.NewBackend(t, "")
	h := openHub(t, "", plenty)
	h.sender.limits.timeout, h.sender.limits.grace = time.Minute, 5*time.Second
	h.direct(t, b)
	asked := make(chan struct{}, 10)
	b.Answer(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		time.Sleep(300 * time.Millisecond) // as a slow site does
		w.WriteHeader(http.StatusNoContent)
	})
	h.publish(t, "a", "1")
	<-asked
	other := chattest.NewBackend(t, "")
	h.sender.Direct(&Target{URL: other.URL})
	h.publish(t, "a", "2")
	chattest.Eventually(t, "the other site is told", func() bool { return slices.Equal(other.Texts("a"), []string{"2"}) })
	h.sender.Direct(&Target{URL: b.URL})
	h.publish(t, "a", "3")
	<-asked
	h.sender.End()
	h.sender.Close()
	if got := b.Texts("a"); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("the first site has %q, want what was under way", got)
	}
	if n := h.sender.Failures(); n > 0 {
		t.Errorf("%d failures are counted", n)
	}
}

// Close does not wait for a site that hangs.
func TestCloseWaitsForNobody(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", chattest.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	h := openHub(t, "", plenty)
	h.sender.limits.timeout, h.sender.limits.grace = time.Minute, time.Minute
	h.sender.Direct(&Target{URL: "http://" + listener.Addr().String()})
	h.follows(t)
	h.publish(t, "a", "1")
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	h.sender.Close()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %s", took)
	}
}

// Pauses double from 1 s to 5 min.
func TestPauses(t *testing.T) {
	var pause time.Duration
	var all []time.Duration
	for range 12 {
		pause = usualLimits.after(pause)
		all = append(all, pause)
	}
	if all[0] != time.Second || all[1] != 2*time.Second || all[7] != 128*time.Second {
		t.Errorf("the pauses are %v", all)
	}
	if last := all[11]; last+last/4 != 5*time.Minute {
		t.Errorf("the longest is %s to %s", last, last+last/4)
	}
}

// countedStore counts the rooms that are read.
type countedStore struct {
	store.Store

	rooms atomic.Int64
}

func (s *countedStore) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	s.rooms.Add(int64(len(span.Rooms)))
	return s.Store.After(ctx, span, limit)
}

// A backlog of many rooms, of which each has little, comes in order, and costs about as many
// reads of rooms as it has entries.
func TestABacklogOfManyRooms(t *testing.T) {
	for name, rooms := range map[string]int{"many": 10_000, "few": 150, "one": 1} {
		t.Run(name, func(t *testing.T) {
			b := chattest.NewBackend(t, "")
			h := openHub(t, "", plenty)
			counted := &countedStore{Store: h.store}
			h.sender.store = counted
			h.sender.limits.timeout = time.Minute
			h.direct(t, b)
			b.AnswerStatus(http.StatusInternalServerError)
			const n = 20_000
			for i := range n {
				h.publish(t, fmt.Sprint("r", i*7919%rooms), fmt.Sprint(i))
			}
			counted.rooms.Store(0)
			b.Answer(nil)
			chattest.Eventually(t, "all is told", func() bool { return b.Count() == n })
			checkOrder(t, b)
			if read := counted.rooms.Load(); read > 5*n {
				t.Errorf("%d rooms were read for %d messages in %d rooms", read, n, rooms)
			} else {
				t.Logf("%d rooms were read for %d messages in %d rooms", read, n, rooms)
			}
			if gaps := b.Gaps(); len(gaps) > 0 {
				t.Errorf("it was told of %d gaps", len(gaps))
			}
		})
	}
}
