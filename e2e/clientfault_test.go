package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// mock is a server of which a test says what it answers.
type mock struct {
	*httptest.Server
	// stream is sent to who reads, after the greeting
	stream  string
	streams atomic.Int32
	posts   atomic.Int32
	// refused is a room that nobody may read
	refused string
	post    func(w http.ResponseWriter, r *http.Request)
	history string
}

func newMock(t *testing.T, m *mock) *mock {
	t.Helper()
	mux := http.NewServeMux()
	refuses := func(w http.ResponseWriter, r *http.Request) bool {
		isRefused := slices.Contains(r.URL.Query()["room"], m.refused)
		if isRefused {
			w.WriteHeader(http.StatusForbidden)
		}
		return isRefused
	}
	mux.HandleFunc("/subscribe", func(w http.ResponseWriter, r *http.Request) {
		if refuses(w, r) {
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Method == http.MethodHead {
			return
		}
		m.streams.Add(1)
		_, _ = io.WriteString(w, "event: hello\ndata: {\"rooms\":[],\"ping_ms\":15000}\n\nevent: live\ndata: {\"latest\":\"\"}\n\n"+m.stream)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/history", func(w http.ResponseWriter, r *http.Request) {
		if !refuses(w, r) {
			_, _ = io.WriteString(w, m.history)
		}
	})
	mux.HandleFunc("/update", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		m.posts.Add(1)
		m.post(w, r)
	})
	m.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		m.CloseClientConnections()
		m.Close()
	})
	return m
}

// withoutFiles copies the client to a folder, some of its files broken. The function
// mends them.
func withoutFiles(t *testing.T, broken ...string) (folder string, mend func()) {
	t.Helper()
	root := t.TempDir()
	write := func(name string, content []byte) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("package.json", []byte(`{"type":"module"}`))
	files, err := filepath.Glob("../public/sse-chat*.js")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, "../e2e/client.mjs") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(strings.TrimPrefix(file, "../"), content)
	}
	good := map[string][]byte{}
	for _, name := range broken {
		name = "public/" + name
		if good[name], err = os.ReadFile(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		write(name, []byte("502 Bad Gateway"))
	}
	return filepath.Join(root, "e2e"), func() {
		for name, content := range good {
			write(name, content)
		}
	}
}

// A file that does not load at first delays what it is for, and nothing else.
func TestTheClientWithoutSomeOfItsFiles(t *testing.T) {
	t.Parallel()
	url := site(t)
	post(t, url+"/update", "one")
	folder, mend := withoutFiles(t, "sse-chat-more.js")
	n := inNodeOf(t, folder, fmt.Sprintf(`{"url": "%s/", "last": 20}`, url))
	n.becomes("statechange", `"live"`)
	n.receives([]string{"one"})
	n.call("send", map[string]string{"text": "two"})
	n.call("send", map[string]string{"text": "three"})
	time.Sleep(500 * time.Millisecond) // it must not give up
	mend()
	n.call("retry")
	n.receives([]string{"one", "two", "three"})
	n.holds("one", "two", "three")
	post(t, url+"/update", "four")
	n.receives([]string{"one", "two", "three", "four"})
	n.holds("one", "two", "three", "four")
	if errors := n.all("error"); len(errors) > 0 {
		t.Errorf("there are errors: %q", errors)
	}
}

// JSON that is not from the chat is from a login.
func TestTheAnswerOfALogin(t *testing.T) {
	t.Parallel()
	const login = `{"login":"/login"}`
	m := newMock(t, &mock{history: login, post: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, login) }})
	n := inNode(t, fmt.Sprintf(`{"url": "%s/"}`, m.URL))
	n.call("send", map[string]string{"text": "kept"})
	n.becomes("error", `{"code":"login","status":200,"message":"status 200"}`)
	n.call("history")
	chattest.Within(t, patience, "the history is refused too", func() bool { return len(n.all("error")) == 2 })
}

// A pause longer than a timer can count is no hot loop.
func TestAVeryLongPause(t *testing.T) {
	t.Parallel()
	m := newMock(t, &mock{post: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3000000")
		w.WriteHeader(http.StatusTooManyRequests)
	}})
	n := inNode(t, fmt.Sprintf(`{"url": "%s/"}`, m.URL))
	n.becomes("statechange", `"live"`)
	n.call("send", map[string]string{"text": "patient"})
	chattest.Within(t, patience, "it is sent", func() bool { return m.posts.Load() > 0 })
	time.Sleep(time.Second) // it must not be sent again
	if got := m.posts.Load(); got != 1 {
		t.Errorf("it was sent %d times", got)
	}
}

// Events that a newer server may have are emitted, and are no messages.
func TestEventsThatTheClientDoesNotKnow(t *testing.T) {
	t.Parallel()
	m := newMock(t, &mock{stream: "event: weather\ndata: {\"rain\":true}\n\n" +
		"event: poll\nid: 5\ndata: {\"id\":\"3\"}\n\n" +
		"event: order\nid: 6\ndata: {\"id\":\"6\",\"text\":\"an order\"}\n\n" +
		"id: 7\ndata: {\"id\":\"7\",\"text\":\"hello\"}\n\n"})
	n := inNode(t, fmt.Sprintf(`{"url": "%s/"}`, m.URL), "weather", "poll", "order")
	n.receives([]string{"hello"})
	n.holds("an order", "hello")
	n.becomes("weather", `{"rain":true}`)
	n.becomes("poll", `{"id":"3"}`)
	if got := m.streams.Load(); got != 1 {
		t.Errorf("it has connected %d times", got)
	}
}

// After a gap, a room that refuses the reader does not keep the others from being fetched.
func TestAGapWithARoomThatRefuses(t *testing.T) {
	t.Parallel()
	m := newMock(t, &mock{
		refused: "attic",
		stream: "id: 6\ndata: {\"id\":\"6\",\"text\":\"forgotten\",\"room\":\"tea\"}\n\n" +
			"event: gap\ndata: {\"reason\":\"expired\",\"oldest\":\"7\"}\n\n",
		history: `{"messages":[{"id":"7","text":"kept","room":"tea"}],"more":false}`,
	})
	n := inNode(t, fmt.Sprintf(`{"url": "%s/", "rooms": ["tea", "attic"]}`, m.URL))
	chattest.Within(t, patience, "there is a gap", func() bool { return len(n.all("gap")) == 1 })
	n.holds("kept")
}

// What waits for its turn is given up when its signal says so.
func TestGivingUpBeforeItsTurn(t *testing.T) {
	t.Parallel()
	m := newMock(t, &mock{post: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
	n := inNode(t, fmt.Sprintf(`{"url": "%s/"}`, m.URL))
	n.call("send", map[string]string{"text": "is not answered"})
	n.call("send", map[string]string{"text": "waits"}, map[string]int{"abortAfter": 300})
	chattest.Within(t, patience/2, "it is given up", func() bool { return len(n.all("error")) == 1 })
	if got := m.posts.Load(); got != 1 {
		t.Errorf("%d were sent", got)
	}
}
