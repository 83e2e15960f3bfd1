package ssechat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// accessLog reads the lines of an access log by their URIs.
func accessLog(t *testing.T, file string) map[string]map[string]any {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := make(map[string]map[string]any)
	for line := range bytes.Lines(content) {
		var entry map[string]any
		if json.Unmarshal(line, &entry) != nil {
			continue // not all of it is written yet
		}
		request, _ := entry["request"].(map[string]any)
		lines[fmt.Sprint(request["uri"])] = entry
	}
	return lines
}

// A stream is one line in the access log, when it ends; and each line tells of
// which room it is.
func TestAccessLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	s := serveSite(t, fmt.Sprintf("log {\noutput file %s\nlevel INFO\n}\nsse_chat {\nmax_subscribers 1\n}", file))
	c := s.stream(t, "/subscribe?room=a&room=차")
	sent := len(c.text(t, "retry: 10000\n"))
	for range 3 {
		s.post(t, "/update?room=a", "x")
		sent += len(c.text(t, "\n\n")) + len("5f\r\n\r\n") // as a chunk
	}
	s.do(t, http.MethodGet, "/subscribe?room=full", "")
	s.do(t, http.MethodGet, "/history?room=b", "")
	s.do(t, http.MethodGet, "/history", "")
	c.close()
	var lines map[string]map[string]any
	eventually(t, "all is logged", func() bool {
		lines = accessLog(t, file)
		return len(lines) == 5
	})
	for uri, want := range map[string]map[string]any{
		"/subscribe?room=a&room=차": {"status": 200.0, "room": "a,차", "sse_events": 3.0, "sse_bytes": float64(sent), "sse_reason": "client"},
		"/subscribe?room=full":     {"status": 200.0, "room": "full", "sse_reason": "full"},
		"/update?room=a":           {"status": 200.0, "room": "a"},
		"/history?room=b":          {"status": 200.0, "room": "b"},
		"/history":                 {"status": 200.0, "room": "lobby"},
	} {
		for field, value := range want {
			if got := lines[uri][field]; got != value {
				t.Errorf("%s: %s is %v, want %v", uri, field, got, value)
			}
		}
	}
}
