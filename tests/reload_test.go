package tests

import (
	"io"
	"regexp"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestAReloadEndsStreamsCleanly(t *testing.T) {
	s := caddytest.Serve(t, "heartbeat 200ms\npark off")
	plain, named := s.Stream(t, "/subscribe"), s.Stream(t, "/subscribe?events=1")
	beat := plain.Until(t, "\n:\n")
	named.Until(t, "event: ping")
	caddytest.Load(t, s, "sse_chat")
	rest, err := plain.Rest(t)
	if !regexp.MustCompile(`^:ok\nretry: 10000\n(:\n)+retry: \d{3,4}\n$`).MatchString(beat+rest) || err != io.EOF {
		t.Errorf("%q, %v", beat+rest, err)
	}
	rest, err = named.Rest(t)
	if !regexp.MustCompile(`\nretry: (\d{3,4})\nevent: bye\ndata: {"reason":"reload","retry_ms":\d{3,4}}\n\n$`).MatchString(rest) || err != io.EOF {
		t.Errorf("%q, %v", rest, err)
	}
}
