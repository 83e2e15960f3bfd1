//go:build linux && !race

package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// A process that was stopped for some seconds, or in a soak for a minute, as a
// machine that sleeps is, goes on where it was: nothing is lost, and what was
// repeated meanwhile under its nonce comes once.
func TestStoppedAndContinued(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			s := besiege(t, fmt.Sprintf("write_timeout 1s\npark %s\nstore bolt %q", park, filepath.Join(t.TempDir(), "chat.db")))
			var streams []*chattest.Stream
			for range 50 { // of which some are written to as it goes on
				c := s.Stream(t, "/subscribe")
				c.Until(t, "retry: 10000\n")
				streams = append(streams, c)
			}
			before := s.Post(t, "/update", "before")
			for _, c := range streams {
				if got := c.Next(t).Message(t); got != before {
					t.Fatalf("got %+v, want %+v", got, before)
				}
			}
			if err := syscall.Kill(s.Pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			chattest.Eventually(t, "the process has stopped", func() bool {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Pid))
				return err == nil && strings.Contains(string(stat), ") T ")
			})
			impatient := &http.Client{Timeout: time.Second}
			for range soak(3, 60) { // each for a second
				response, err := impatient.Post(s.URL+"/update", "", strings.NewReader(`{"text":"meanwhile","nonce":"n"}`))
				if err == nil {
					response.Body.Close()
					t.Error("a process that is stopped has answered")
				}
			}
			if err := syscall.Kill(s.Pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			meanwhile := s.Do(t, http.MethodPost, "/update", `{"text":"meanwhile","nonce":"n"}`)
			after := s.Post(t, "/update", "after")
			for _, c := range streams {
				got := []chattest.Message{c.Next(t).Message(t), c.Next(t).Message(t)}
				if got[0].Text != "meanwhile" || !strings.Contains(meanwhile.Body, got[0].ID) || got[1] != after {
					t.Fatalf("got %+v, want meanwhile and after", got)
				}
			}
		})
	}
}
