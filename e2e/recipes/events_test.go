package recipes

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// Streams ended by a reload or an exit produce an event, which the debug log of
// Caddy's events app shows, and a line in the access log.
func TestDrained(t *testing.T) {
	url := freeURL(t)
	s := runCaddy(t, url, "{\n\tdebug\n}\n\n"+url+" {\n\tlog\n\tsse_chat {\n\t\tpark off\n\t}\n}\n")
	first, second := subscribe(t, url+"/subscribe"), subscribe(t, url+"/subscribe")
	s.reload(t)
	lastLine(t, first)
	lastLine(t, second)
	chattest.Eventually(t, "the event of the reload", func() bool {
		return strings.Contains(s.output(), `"data":{"hub":"default","reason":"reload","streams":2}`)
	})
	s.waitFor(t, url)
	want(t, http.StatusOK, http.MethodGet, url+"/history", "")
	third := subscribe(t, url+"/subscribe")
	s.stop(t, syscall.SIGTERM)
	lastLine(t, third)
	reasons := make(map[string]int)
	for line := range strings.Lines(s.output()) {
		var entry struct {
			Logger, Msg, Name, Origin string
			Data                      map[string]any
			Reason                    string `json:"sse_reason"`
		}
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		if entry.Logger == "events" && entry.Name == "drained" {
			if entry.Origin != "http.handlers.sse_chat" {
				t.Errorf("the event is from %q", entry.Origin)
			}
			reasons["drained: "+entry.Data["reason"].(string)]++
		}
		if strings.HasPrefix(entry.Logger, "http.log.access") && entry.Reason != "" {
			reasons["access: "+entry.Reason]++
		}
		if strings.Contains(line, "event handling stopped") || strings.Contains(line, "panic") {
			t.Error(line)
		}
	}
	for reason, want := range map[string]int{"drained: reload": 1, "drained: exit": 1, "access: reload": 2, "access: exit": 1} {
		if reasons[reason] != want {
			t.Errorf("%s: %d times, want %d; all: %v", reason, reasons[reason], want, reasons)
		}
	}
}
