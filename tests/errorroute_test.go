package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/fragile"
)

// siteWithLog is a site with all that Caddy logs in a file.
type siteWithLog struct {
	*chattest.Site
	file string
}

// serveLogged starts a site with a log at level DEBUG and Caddy's metrics at
// /metrics. named is a named route "chat", PORT the site's.
func serveLogged(t *testing.T, block, named string) *siteWithLog {
	t.Helper()
	s := &siteWithLog{file: filepath.Join(t.TempDir(), "caddy.log")}
	options := strings.NewReplacer("output discard", "output file "+s.file, "level ERROR", "level DEBUG").Replace(caddytest.GlobalOptions())
	s.Site = caddytest.Reserve(t)
	_, port, _ := strings.Cut(s.Addr, ":")
	if named != "" {
		named = "&(chat) {\n" + named + "\n}\n"
	}
	caddyfile := fmt.Sprintf("{%s\nmetrics\n}\n%shttp://%s {\nroute /metrics {\nmetrics\n}\n%s\n}\n", options, named, s.Addr, block)
	if err := caddytest.LoadCaddyfile(t, strings.ReplaceAll(caddyfile, "PORT", port)); err != nil {
		t.Fatal(err)
	}
	return s
}

// lines returns what was logged so far with a level of at least one of some.
func (s *siteWithLog) lines(t *testing.T, levels ...string) (lines []map[string]any) {
	t.Helper()
	content, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(content) {
		var entry map[string]any
		if json.Unmarshal(line, &entry) == nil && slices.Contains(levels, fmt.Sprint(entry["level"])) {
			lines = append(lines, entry)
		}
	}
	return lines
}

const badBody, jsonOfBadBody = `{"text":1}`, `{"error":"` + noText + `"}`

// Wherever the handler stands, its errors have their status and body, and
// Caddy's metrics and access log see them.
func TestErrorsAreCaddys(t *testing.T) {
	for _, test := range []struct {
		name, block string
		status      int
		body        string
	}{
		{"alone", "sse_chat", 400, jsonOfBadBody},
		{"in a route", "route /update* {\nroute {\nsse_chat\n}\n}", 400, jsonOfBadBody},
		{"in a handle", "handle {\nhandle /update {\nsse_chat\n}\n}", 400, jsonOfBadBody},
		{"within what buffers answers", "route {\nencode {\ngzip\nminimum_length 1\n}\nintercept {\n@refused status 400\nreplace_status @refused 499\n}\ntemplates {\nmime application/json\n}\nsse_chat\n}", 400, jsonOfBadBody},
		{"in a named route", "invoke chat", 400, jsonOfBadBody},
		{"with a route for all", "sse_chat\nhandle_errors {\nrespond \"{err.message}\" 418\n}", 418, noText},
		{"with a route for others", "sse_chat\nhandle_errors 404 {\nrespond gone\n}", 400, jsonOfBadBody},
		{"with a route that only sets a header", "sse_chat\nhandle_errors {\nheader X-Seen yes\n}", 400, jsonOfBadBody},
		{"with a route that fails", "sse_chat\nhandle_errors {\nerror 500\n}", 400, jsonOfBadBody},
		{"with a route of another site", "sse_chat\n}\nhttp://other.example:PORT {\nhandle_errors {\nrespond other\n}", 400, jsonOfBadBody},
	} {
		t.Run(test.name, func(t *testing.T) {
			named := ""
			if strings.Contains(test.block, "invoke") {
				named = "sse_chat"
			}
			s := serveLogged(t, "log\n"+test.block, named)
			a := s.Do(t, http.MethodPost, "/update", badBody)
			if a.Status != test.status || a.Body != test.body {
				t.Errorf("%d %q, want %d %q", a.Status, a.Body, test.status, test.body)
			}
			if test.body == jsonOfBadBody && a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
			}
			if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`); a.Status != http.StatusOK {
				t.Errorf("what is no error: %d %s", a.Status, a.Body)
			}
			metrics := s.Do(t, http.MethodGet, "/metrics", "").Body
			if !strings.Contains(metrics, "caddy_http_request_errors_total{") {
				t.Error("Caddy has counted no error")
			}
			chattest.Eventually(t, "the access log has it", func() bool {
				return slices.ContainsFunc(s.lines(t, "info", "error"), func(l map[string]any) bool {
					return l["msg"] == "handled request" && l["status"] == float64(test.status)
				})
			})
		})
	}
}

// An access log hides that a status is written twice, so there is none.
func TestTheStatusOfAnErrorIsWrittenOnce(t *testing.T) {
	for _, routes := range []string{"", "\nhandle_errors {\nrespond oops\n}", "\nhandle_errors 404 {\nrespond oops\n}"} {
		s := serveLogged(t, "sse_chat"+routes, "")
		s.Do(t, http.MethodPost, "/update", badBody)
		var lines []map[string]any
		chattest.Eventually(t, "the error is logged", func() bool {
			lines = s.lines(t, "debug", "warn", "error")
			return slices.ContainsFunc(lines, func(l map[string]any) bool { return l["msg"] == noText })
		})
		for _, line := range lines {
			if strings.Contains(fmt.Sprint(line["msg"]), "superfluous") {
				t.Errorf("a status is written twice: %v", line)
			}
		}
	}
}

// One line for each, at most: where nobody looks at them, what a client does
// wrong is not logged at all.
func TestErrorsAreLoggedOnce(t *testing.T) {
	for _, routes := range []string{"", "\nhandle_errors {\nrespond oops\n}"} {
		s := serveLogged(t, "log\nsse_chat {\nstore fragile\n}"+routes, "")
		s.Do(t, http.MethodPost, "/update", badBody)
		fragile.Close(t)
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`); a.Status != http.StatusServiceUnavailable {
			t.Fatalf("a store that is closed: %d %s", a.Status, a.Body)
		}
		var errors []map[string]any
		chattest.Eventually(t, "the access log has both", func() bool {
			lines := s.lines(t, "info", "error")
			errors = slices.DeleteFunc(s.lines(t, "error"), func(l map[string]any) bool { return l["msg"] == "handled request" })
			return len(slices.DeleteFunc(lines, func(l map[string]any) bool { return l["msg"] != "handled request" })) == 2
		})
		for _, line := range errors {
			if line["logger"] != "http.handlers.sse_chat" {
				t.Errorf("logged by Caddy too: %v", line)
			}
		}
		if len(errors) > 1 {
			t.Errorf("%d errors are logged, want one: %v", len(errors), errors)
		}
	}
}

// What other handlers do wrong is logged as if the chat were not there.
func TestErrorsOfOtherHandlersAreLoggedAsEver(t *testing.T) {
	logged := func(block string) map[string]any {
		s := serveLogged(t, "log\n"+block+"\nreverse_proxy 127.0.0.1:1", "")
		if a := s.Do(t, http.MethodGet, "/", ""); a.Status != http.StatusBadGateway || a.Body != "" {
			t.Errorf("%d %q, want 502 and nothing", a.Status, a.Body)
		}
		var found []map[string]any
		chattest.Eventually(t, "it is logged", func() bool {
			found = slices.DeleteFunc(s.lines(t, "error"), func(l map[string]any) bool { return l["msg"] == "handled request" })
			return len(found) > 0
		})
		if len(found) != 1 {
			t.Errorf("%d errors are logged, want one: %v", len(found), found)
		}
		return found[0]
	}
	with, without := logged("sse_chat"), logged("")
	for key := range without {
		if _, ok := with[key]; !ok {
			t.Errorf("%s is missing", key)
		}
	}
	for key := range with {
		if _, ok := without[key]; !ok {
			t.Errorf("%s is new", key)
		}
	}
	for _, key := range []string{"level", "logger", "msg", "status"} {
		if with[key] != without[key] {
			t.Errorf("%s is %v, without the chat %v", key, with[key], without[key])
		}
	}
	request := func(line map[string]any) map[string]any { return line["request"].(map[string]any) }
	if a, b := request(with), request(without); len(a) != len(b) || a["uri"] != b["uri"] {
		t.Errorf("the request is %v, without the chat %v", a, b)
	}
}
