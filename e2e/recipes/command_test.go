package recipes

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// chat starts caddy sse-chat in an empty folder, and waits for its page.
func chat(t *testing.T, args ...string) (url string, p *process) {
	t.Helper()
	addr := "127.0.0.1:" + chattest.FreePort(t)
	cmd := exec.Command(binary(t), append([]string{"sse-chat", "--listen", addr}, args...)...)
	cmd.Dir = t.TempDir()
	p = startCmd(t, nil, cmd)
	p.waitFor(t, "http://"+addr)
	return "http://" + addr, p
}

// The command serves page and chat from the binary alone, and ends immediately.
func TestTheCommand(t *testing.T) {
	url, p := chat(t, "--access-log")
	wantPage(t, url)
	s := subscribe(t, url+"/subscribe?room=tea&events=1")
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=tea", text("hi"))
	s.Line(t, "hi")
	if d := p.stop(t, os.Interrupt); d > time.Second {
		t.Errorf("after Ctrl-C it took %s", d)
	} else {
		t.Logf("after Ctrl-C it took %s", d)
	}
	if last := lastLine(t, s); last != "" { // the blank line after event: bye
		t.Errorf("the stream ends with %q", last)
	}
	for _, want := range []string{"the chat is at " + url, `"sse_reason":"exit"`, `"room":"tea"`} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("%q is not in its output", want)
		}
	}
	if files, err := os.ReadDir(p.cmd.Dir); err != nil || len(files) > 0 {
		t.Errorf("it left %v, %v", files, err)
	}
}

// The page has the same header as with the repository's Caddyfile.
func TestTheCommandsHeader(t *testing.T) {
	caddyfile, err := os.ReadFile(root + "/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	site := freeURL(t)
	runCaddy(t, site, strings.Replace(string(caddyfile), "\n:3000", "\n"+site, 1))
	url, _ := chat(t)
	for _, path := range []string{"/", "/script.js", "/subscribe", "/history", "/none"} {
		method := http.MethodGet
		if path == "/subscribe" {
			method = http.MethodHead
		}
		got, want := do(t, method, url+path, ""), do(t, method, site+path, "")
		for _, own := range []string{"Date", "Etag", "Last-Modified"} {
			got.Header.Del(own)
			want.Header.Del(own)
		}
		if got.Status != want.Status || len(got.Header) != len(want.Header) {
			t.Errorf("%s: %d %v, want %d %v", path, got.Status, got.Header, want.Status, want.Header)
		}
		for name, values := range want.Header {
			if !slices.Equal(got.Header[name], values) {
				t.Errorf("%s: %s is %q, want %q", path, name, got.Header[name], values)
			}
		}
	}
}

// On an idle machine, at least one of a few starts serves the page within 300 ms.
func TestTheCommandStartsFast(t *testing.T) {
	var times []time.Duration
	for range 5 {
		begin := time.Now()
		_, p := chat(t)
		times = append(times, time.Since(begin))
		p.stop(t, syscall.SIGTERM)
	}
	slices.Sort(times)
	t.Logf("from start to page: %s", times)
	if times[0] > 300*time.Millisecond {
		t.Errorf("it starts in %s, want less than 300ms", times[0])
	}
}

func TestTheCommandSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", "3000"}, "3000 names no port"},
		{[]string{"--listen", "127.0.0.1:1", "--hub", "a b"}, `only letters`},
		{[]string{"--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"extra"}, "extra"},
	} {
		out, err := exec.Command(binary(t), append([]string{"sse-chat"}, test.args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%v: %v\n%s, want %q", test.args, err, out, test.want)
		}
	}
	out, err := exec.Command(binary(t), "sse-chat", "--help").Output()
	for _, want := range []string{"--listen", "--domain", "--store", "--hub", "--access-log", "localhost:3000"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("help does not tell of %s: %v\n%s", want, err, out)
		}
	}
}

// With --store messages survive a restart.
func TestTheCommandsStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chat.db")
	url, p := chat(t, "--store", file)
	first := subscribe(t, url+"/subscribe?room=tea")
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=tea", text("before"))
	id := strings.TrimPrefix(first.Line(t, "id: "), "id: ")
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=tea", text("kept"))
	p.stop(t, os.Interrupt)
	url, _ = chat(t, "--store", file)
	if a := want(t, http.StatusOK, http.MethodGet, url+"/history?room=tea", ""); !strings.Contains(a.Body, "before") || !strings.Contains(a.Body, "kept") {
		t.Errorf("history: %s", a.Body)
	}
	s := subscribe(t, url+"/subscribe?room=tea", "Last-Event-ID: "+id)
	if line := s.Line(t, "data:"); !strings.Contains(line, "kept") {
		t.Errorf("the resumed stream got %s", line)
	}
}
