package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// question is what a site is asked.
type question struct {
	Room     string            `json:"room"`
	Message  map[string]any    `json:"message"`
	Messages []json.RawMessage `json:"messages"`
	ClientIP string            `json:"client_ip"`
	Method   string            `json:"method"`

	header http.Header
	path   string
}

// asked is a site that is asked before something is stored.
type asked struct {
	*httptest.Server

	mu        sync.Mutex
	questions []question
	answer    http.HandlerFunc // nil for 204
}

// newAsked starts a site.
func newAsked(t *testing.T) *asked {
	t.Helper()
	return newAskedAt(t, chattest.FreeAddr(t))
}

// newAskedAt starts a site at an address.
func newAskedAt(t *testing.T, addr string) *asked {
	t.Helper()
	a := new(asked)
	a.Server = chattest.NewServerAt(t, addr, a)
	a.Start()
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	q := question{header: r.Header, path: r.URL.RequestURI()}
	if err := json.Unmarshal(body, &q); err != nil {
		q.Room = fmt.Sprintf("%v in %s", err, body)
	}
	a.mu.Lock()
	a.questions = append(a.questions, q)
	answer := a.answer
	a.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, r)
}

// willAnswer sets what the site answers from now on.
func (a *asked) willAnswer(answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

// take returns the questions since the last call.
func (a *asked) take() []question {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.questions
	a.questions = nil
	return taken
}

// one returns the only question since the last call.
func (a *asked) one(t *testing.T) question {
	t.Helper()
	questions := a.take()
	if len(questions) != 1 {
		t.Fatalf("the site was asked %d times: %+v", len(questions), questions)
	}
	return questions[0]
}

// says returns an answer with a status and a body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// The site is told what is to be stored and by whom, but no secret of an author.
func TestTheSiteIsAsked(t *testing.T) {
	site := newAsked(t)
	s := caddytest.Serve(t, "before_publish "+site.URL+"/check/{query.room}")
	header := []string{keyOfKim, "Authorization: Bearer of-the-site", "Cookie: session=1", "X-Other: no", "User-Agent: test"}
	m := post(t, s, "/update?room=tea", `{"text":"<hi>","name":"kim","nonce":"n","event":"order","data":{"a":[1]},"reply_to":"7-2"}`, header...)
	q := site.one(t)
	if q.path != "/check/tea" || q.Room != "tea" || q.Method != "POST" || q.ClientIP != "127.0.0.1" {
		t.Errorf("the site is asked %+v", q)
	}
	want := `map[author:` + tagOfKim + ` data:map[a:[1]] event:order name:kim nonce:n reply_to:7-2 text:<hi>]`
	if got := fmt.Sprint(q.Message); got != want {
		t.Errorf("the message is %s, want %s", got, want)
	}
	if got := fmt.Sprint(q.header["Authorization"], q.header["Cookie"], q.header["User-Agent"], q.header["X-Other"], q.header["Content-Type"]); got != "[Bearer of-the-site] [session=1] [test] [] [application/json]" {
		t.Errorf("the header is %s", got)
	}
	for body, want := range map[string]string{
		`{"text":"new"}`:           "map[author:" + tagOfKim + " id:" + m.ID + " text:new]",
		`{"append":" more"}`:       "map[append: more author:" + tagOfKim + " id:" + m.ID + "]",
		`{"data":[2]}`:             "map[author:" + tagOfKim + " data:[2] id:" + m.ID + "]",
		`{"text":"both","data":1}`: "map[author:" + tagOfKim + " data:1 id:" + m.ID + " text:both]",
	} {
		patch(t, s, "tea", m.ID, body, keyOfKim)
		if q := site.one(t); q.Method != "PATCH" || fmt.Sprint(q.Message) != want {
			t.Errorf("of %s the site is asked %+v, want %s", body, q, want)
		}
	}
	// not about these
	patch(t, s, "tea", m.ID, `{"react":"👍"}`, keyOfKim)
	patch(t, s, "tea", m.ID, `{"unreact":"👍"}`, keyOfKim)
	for _, request := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/update?room=tea", `{"signal":"typing"}`, 202},
		{http.MethodPost, "/update?room=tea", `{"text":" "}`, 400},
		{http.MethodPatch, "/update?room=tea&id=" + m.ID, `{"text":"by nobody"}`, 403},
		{http.MethodPatch, "/update?room=tea&id=1", `{"text":"of nothing"}`, 404},
	} {
		if a := s.Do(t, request.method, request.path, request.body); a.Status != request.status {
			t.Errorf("%+v is answered %d %s", request, a.Status, a.Body)
		}
	}
	if a := s.Do(t, http.MethodDelete, "/update?room=tea&id="+m.ID, "", keyOfKim); a.Status != 200 {
		t.Errorf("DELETE is answered %d %s", a.Status, a.Body)
	}
	if questions := site.take(); len(questions) > 0 {
		t.Errorf("the site is asked %+v", questions)
	}
}

// What the site replaces is stored and sent in place of what was posted.
func TestTheSiteReplaces(t *testing.T) {
	site := newAsked(t)
	s := caddytest.Serve(t, "max_text 1KiB\nbefore_publish "+site.URL)
	stream := s.Stream(t, "/subscribe")
	for _, test := range []struct{ name, answer, want string }{
		{"nothing", ``, `{"text":"bad","name":"kim"}`},
		{"nothing of it", `{}`, `{"text":"bad","name":"kim"}`},
		{"unknown keys and nulls", `{"x":1,"text":null,"data":null}`, `{"text":"bad","name":"kim"}`},
		{"nothing but a line", "\n", `{"text":"bad","name":"kim"}`},
		{"a mark before it", "\ufeff{\"text\":\"***\"}", `{"text":"***","name":"kim"}`},
		{"what is no part of a message", `{"text":"***","append":null}`, `{"text":"***","name":"kim"}`},
		{"what was never asked", `{"text":"***","append":"bad"}`, `{"text":"***","name":"kim"}`},
		{"the text", `{"text":"***"}`, `{"text":"***","name":"kim"}`},
		{"the name", `{"name":"Kim from sales"}`, `{"text":"bad","name":"Kim from sales"}`},
		{"no name", `{"name":""}`, `{"text":"bad"}`},
		{"all", `{"text":"a","name":"lee","event":"order","data":{"b": 1}}`, `{"text":"a","name":"lee","event":"order","data":{"b":1}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			site.willAnswer(says(200, test.answer))
			m := post(t, s, "/update", `{"text":"bad","name":"kim"}`)
			e := stream.Next(t)
			var got map[string]any
			if err := json.Unmarshal([]byte(e.Data), &got); err != nil || e.ID != m.ID {
				t.Fatalf("%+v: %v", e, err)
			}
			delete(got, "id")
			delete(got, "timestamp")
			var want map[string]any
			_ = json.Unmarshal([]byte(test.want), &want)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	site.willAnswer(nil)
	m := post(t, s, "/update", `{"text":"x"}`, keyOfKim)
	site.willAnswer(says(200, `{"text":"***"}`))
	if got := patch(t, s, "lobby", m.ID, `{"text":"bad"}`, keyOfKim); !strings.HasPrefix(got, `{"text":"***"`) {
		t.Errorf("after an edit: %s", got)
	}
	text := "***"
	for _, answer := range []string{`{"text":"***"}`, `{"append":"***"}`, `{"append":null,"text":"***"}`, `{"append":"bad","text":"***"}`} {
		site.willAnswer(says(200, answer))
		text += "***"
		if got := patch(t, s, "lobby", m.ID, `{"append":" bad"}`, keyOfKim); !strings.HasPrefix(got, `{"text":"`+text+`"`) {
			t.Errorf("after an append, to which the site answers %s: %s", answer, got)
		}
	}
	for change, answer := range map[string]string{`{"append":"x"}`: `{"data":1}`, `{"text":"x"}`: `{"name":"lee"}`, `{"data":1}`: `{"event":"order"}`} {
		site.willAnswer(says(200, answer))
		if a := s.Do(t, http.MethodPatch, "/update?id="+m.ID, change, keyOfKim); a.Status != 503 {
			t.Errorf("%s as an answer to %s: %d %s", answer, change, a.Status, a.Body)
		}
	}
	site.willAnswer(says(200, `{"text":"***"}`))
	if got := patch(t, s, "lobby", m.ID, `{"data":1}`, keyOfKim); !strings.HasPrefix(got, `{"text":"***"`) || !strings.Contains(got, `"data":1`) {
		t.Errorf("after an edit of the data: %s", got)
	}
}

// What the site refuses is answered as the site answers, and is no error.
func TestTheSiteRefuses(t *testing.T) {
	site := newAsked(t)
	s := caddytest.ServeSite(t, "sse_chat {\nbefore_publish "+site.URL+"\n}\nhandle_errors {\nrespond \"an error\"\n}\n")
	stream := s.Stream(t, "/subscribe")
	for _, test := range []struct {
		status     int
		body, want string
	}{
		{400, "no", "no"},
		{402, `{"error":"pay"}`, `{"error":"pay"}`},
		{403, "", ""},
		{422, strings.Repeat("x", 10_000), strings.Repeat("x", 4096)},
		{429, "wait", "wait"},
		{499, "strange", "strange"},
	} {
		site.willAnswer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/x-mine")
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Set-Cookie", "a=b")
			says(test.status, test.body)(w, r)
		})
		a := s.Do(t, http.MethodPost, "/update", `{"text":"x","nonce":"same"}`)
		if a.Status != test.status || a.Body != test.want {
			t.Errorf("%d %.80q is answered %d %.80q", test.status, test.body, a.Status, a.Body)
		}
		if got := fmt.Sprint(a.Header["Content-Type"], a.Header["Retry-After"], a.Header["Set-Cookie"]); got != "[text/x-mine] [7] []" {
			t.Errorf("the header is %s", got)
		}
	}
	// a refusal uses no nonce
	site.willAnswer(nil)
	m := post(t, s, "/update", `{"text":"x","nonce":"same"}`)
	if e := stream.Next(t); e.ID != m.ID {
		t.Errorf("got %+v, want %s", e, m.ID)
	}
}

// Without a clear answer nothing is stored.
func TestNothingPassesUnasked(t *testing.T) {
	site := newAsked(t)
	s := caddytest.Serve(t, "max_text 1KiB\nbefore_publish "+site.URL+" 300ms")
	stream := s.Stream(t, "/subscribe")
	own := post(t, s, "/update", `{"text":"own"}`, keyOfKim)
	stream.Next(t)
	elsewhere := newAsked(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	answers := map[string]http.HandlerFunc{
		"500": says(500, ""),
		"503": says(503, ""),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"not modified":        says(304, ""),
		"garbage":             says(200, "OK"),
		"half of it":          says(200, `{"text":"x"`),
		"an array":            says(200, `[{"text":"x"}]`),
		"a number for a text": says(200, `{"text":1}`),
		"an empty text":       says(200, `{"text":" "}`),
		"a text too long":     says(200, fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 1025))),
		"a control character": says(200, `{"text":"\u0000"}`),
		"bad UTF-8":           says(200, "{\"text\":\"\xff\"}"),
		"a wrong name":        says(200, `{"name":"a\u200bb"}`),
		"a name of our own":   says(200, `{"event":"hello"}`),
		"an empty event":      says(200, `{"event":""}`),
		"10 MB":               says(200, `{"text":"`+strings.Repeat("x", 10<<20)+`"}`),
		"a body that is cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{}")
		},
		"a connection cut":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"nothing, for ever": func(http.ResponseWriter, *http.Request) { <-hang },
		"a body without an end": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-hang
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			site.willAnswer(answer)
			if name == "a wrong name" || strings.Contains(name, "event") || strings.Contains(name, "of our own") {
				// a change has neither
			} else if a := s.Do(t, http.MethodPatch, "/update?id="+own.ID, `{"text":"changed"}`, keyOfKim); a.Status != 503 || a.Header.Get("Retry-After") == "" {
				t.Errorf("a change is answered %d %s", a.Status, a.Body)
			}
			a := s.Do(t, http.MethodPost, "/update", `{"text":"posted","nonce":"same"}`)
			if a.Status != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "repeat it with the same nonce") || strings.Contains(a.Body, site.URL) {
				t.Errorf("a message is answered %d %s", a.Status, a.Body)
			}
		})
	}
	if questions := elsewhere.take(); len(questions) > 0 {
		t.Errorf("a redirect was followed: %+v", questions)
	}
	// it is away, and comes back
	addr := strings.TrimPrefix(site.URL, "http://")
	site.CloseClientConnections()
	site.Listener.Close()
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"posted","nonce":"same"}`); a.Status != 503 {
		t.Errorf("while the site is away a message is answered %d %s", a.Status, a.Body)
	}
	back := newAskedAt(t, addr)
	m := post(t, s, "/update", `{"text":"posted","nonce":"same"}`)
	back.one(t)
	if e := stream.Next(t); e.ID != m.ID {
		t.Errorf("got %+v, want only %s", e, m.ID)
	}
	if a := s.Do(t, http.MethodGet, "/history", ""); strings.Count(a.Body, `"text"`) != 2 || !strings.Contains(a.Body, `"own"`) {
		t.Errorf("the history is %s", a.Body)
	}
}

// The site is asked once for each nonce, also by repeats at the same time, and not again
// after a restart.
func TestTheSiteIsAskedOncePerNonce(t *testing.T) {
	for name, restarts := range map[string]bool{"memory": false, "bolt": true} {
		t.Run(name, func(t *testing.T) {
			site := newAsked(t)
			directive := "before_publish " + site.URL
			if restarts {
				directive += fmt.Sprintf("\nstore bolt %q", filepath.Join(t.TempDir(), "chat.db"))
			}
			s := caddytest.Serve(t, directive)
			site.willAnswer(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(50 * time.Millisecond) // so that the others come meanwhile
				w.WriteHeader(http.StatusNoContent)
			})
			m := post(t, s, "/update", `{"text":"x"}`, keyOfKim)
			site.take()
			requests := []struct{ method, path, body string }{
				{http.MethodPost, "/update", `{"text":"x","nonce":"n"}`},
				{http.MethodPatch, "/update?id=" + m.ID, `{"append":"y","nonce":"n"}`},
			}
			for _, request := range requests {
				var group sync.WaitGroup
				for range 8 {
					group.Go(func() {
						if a := s.Do(t, request.method, request.path, request.body, keyOfKim); a.Status != 200 {
							t.Errorf("%+v: %d %s", request, a.Status, a.Body)
						}
					})
				}
				group.Wait()
				site.one(t)
			}
			if restarts {
				if err := caddy.Stop(); err != nil {
					t.Fatal(err)
				}
				s = caddytest.Serve(t, directive)
				for _, request := range requests {
					if a := s.Do(t, request.method, request.path, request.body, keyOfKim); a.Status != 200 {
						t.Errorf("after a restart %+v: %d %s", request, a.Status, a.Body)
					}
				}
				if questions := site.take(); len(questions) > 0 {
					t.Errorf("after a restart the site is asked again: %+v", questions)
				}
			}
			if a := s.Do(t, http.MethodGet, "/history", ""); strings.Count(a.Body, `"text"`) != 2 || !strings.Contains(a.Body, `"xy"`) {
				t.Errorf("the history is %s", a.Body)
			}
		})
	}
}

// A batch is one question, about what is not a repeat.
func TestABatchIsOneQuestion(t *testing.T) {
	site := newAsked(t)
	s := caddytest.Serve(t, "before_publish "+site.URL)
	post(t, s, "/update", `{"text":"before","nonce":"n"}`)
	site.take()
	site.willAnswer(says(200, `[{},{"text":"***"}]`))
	batch := "{\"text\":\"one\"}\n{\"text\":\"before\",\"nonce\":\"n\"}\n{\"text\":\"bad\"}\n"
	const ndjson = "Content-Type: application/x-ndjson"
	a := s.Do(t, http.MethodPost, "/update", batch, ndjson)
	lines := strings.Split(strings.TrimSpace(a.Body), "\n")
	if a.Status != 200 || len(lines) != 3 || !strings.Contains(lines[0], `"one"`) || !strings.Contains(lines[1], `"before"`) || !strings.Contains(lines[2], `"***"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if q := site.one(t); len(q.Messages) != 2 || q.Message != nil || !strings.Contains(string(q.Messages[1]), `"bad"`) {
		t.Errorf("the site is asked %s, %v", q.Messages, q.Message)
	}
	for _, answer := range []string{`[{}]`, `[{},{},{}]`, `{}`, `[{},{"text":1}]`, `[{},null]`} {
		site.willAnswer(says(200, answer))
		if a := s.Do(t, http.MethodPost, "/update", batch, ndjson); a.Status != 503 {
			t.Errorf("%s: %d %s", answer, a.Status, a.Body)
		}
	}
	site.willAnswer(says(403, "no"))
	if a := s.Do(t, http.MethodPost, "/update", batch, ndjson); a.Status != 403 || a.Body != "no" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := s.Do(t, http.MethodGet, "/history", ""); strings.Count(a.Body, `"text"`) != 3 {
		t.Errorf("the history is %s", a.Body)
	}
}

// No more than 100 questions wait at once; the others wait for their turn.
func TestQuestionsAreBounded(t *testing.T) {
	site := newAsked(t)
	s := caddytest.Serve(t, "before_publish "+site.URL+" 30s")
	var waiting, most atomic.Int64
	release := make(chan struct{})
	site.willAnswer(func(w http.ResponseWriter, _ *http.Request) {
		for n := waiting.Add(1); ; {
			old := most.Load()
			if n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		<-release
		waiting.Add(-1)
		w.WriteHeader(http.StatusNoContent)
	})
	var group sync.WaitGroup
	for i := range 150 {
		group.Go(func() {
			if a := s.Do(t, http.MethodPost, "/update", fmt.Sprintf(`{"text":"%d"}`, i)); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	chattest.Within(t, chattest.Patience, "100 questions wait", func() bool { return waiting.Load() == 100 })
	time.Sleep(100 * time.Millisecond) // for a hundred and first
	close(release)
	group.Wait()
	if most.Load() != 100 || len(site.take()) != 150 {
		t.Errorf("%d questions were waiting at once", most.Load())
	}
}

// What the site refuses counts against rate, and what it does not answer does not.
func TestRefusalsCountAgainstTheRate(t *testing.T) {
	site := newAsked(t)
	s := caddytest.Serve(t, "rate 2 1h\nbefore_publish "+site.URL)
	for _, test := range []struct {
		answer http.HandlerFunc
		want   int
	}{{says(500, ""), 503}, {says(500, ""), 503}, {says(500, ""), 503}, {says(403, ""), 403}, {nil, 200}, {nil, 429}} {
		site.willAnswer(test.answer)
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`); a.Status != test.want {
			t.Fatalf("%d %s, want %d", a.Status, a.Body, test.want)
		}
	}
}

// Repeats of a change that is being asked about wait for it, whatever the rate.
func TestRepeatsOfAChangeWait(t *testing.T) {
	site := newAsked(t)
	s := caddytest.Serve(t, "rate 2 1h\nbefore_publish "+site.URL)
	m := post(t, s, "/update", `{"text":"x"}`, keyOfKim)
	site.willAnswer(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		w.WriteHeader(http.StatusNoContent)
	})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if a := s.Do(t, http.MethodPatch, "/update?id="+m.ID, `{"append":"y","nonce":"n"}`, keyOfKim); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	group.Wait()
}

// A question without an answer does not hold up an exit.
func TestAQuestionHoldsUpNoExit(t *testing.T) {
	site := newAsked(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	asked := make(chan struct{}, 1)
	site.willAnswer(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-hang
	})
	p := caddytest.Start(t, "http://127.0.0.1:"+chattest.FreePort(t), "sse_chat {\nbefore_publish "+site.URL+" 1m\n}")
	answered := make(chan int, 1)
	go func() {
		response, err := p.Client.Post(p.URL+"/update", "application/json", strings.NewReader(`{"text":"x"}`))
		if err != nil {
			answered <- 0
			return
		}
		response.Body.Close()
		answered <- response.StatusCode
	}()
	<-asked
	if took := p.Terminate(t); took > 5*time.Second {
		t.Errorf("the exit took %s", took)
	}
	if status := <-answered; status != http.StatusServiceUnavailable {
		t.Errorf("the publisher is answered %d", status)
	}
}

// What a question adds to a publish, over one connection on loopback: compare the two.
func BenchmarkBeforePublish(b *testing.B) {
	site := httptest.NewServer(says(http.StatusNoContent, ""))
	b.Cleanup(site.Close)
	for name, directive := range map[string]string{"off": "", "on": "before_publish " + site.URL} {
		b.Run(name, func(b *testing.B) {
			s := caddytest.Serve(b, directive)
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				begin := time.Now()
				if a := s.Do(b, http.MethodPost, "/update", `{"text":"x"}`); a.Status != http.StatusOK {
					b.Fatalf("%d %s", a.Status, a.Body)
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		})
	}
}
