package hub

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// What a full socket has not taken is kept only where it cannot be read again.
func TestTakeBack(t *testing.T) {
	b := newTestHub(t, plenty)
	var ids []store.ID
	var messages []*store.Message
	for i := range 3 {
		ids = append(ids, b.mustPublish(t, "a", fmt.Sprint("event: ", i)))
		page, err := b.store.Before(t.Context(), "a", store.MaxID, 1)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, page.Messages[0])
	}
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked %v", chunked), func(t *testing.T) { testTakeBack(t, messages, ids, chunked) })
	}
}

func testTakeBack(t *testing.T, messages []*store.Message, ids []store.ID, chunked bool) {
	s := &Subscriber{chunked: chunked}
	var frames []string
	for _, m := range messages {
		frames = append(frames, string(s.frame(m)))
	}
	named := func(bytes string) string {
		out := Batch{Bytes: []byte(bytes)}
		s.endNamed(&out, 0)
		return string(out.Bytes)
	}
	gap, beat := named(string(wire.AppendGap(nil, string(gapSlow), ids[1]))), named(wire.HeartbeatLine)
	all := strings.Join(frames, "")
	for _, test := range []struct {
		name   string
		parts  []string
		n      int
		rest   string
		cursor store.ID
		left   int // messages
	}{
		{"nothing was taken", frames, 0, frames[0], ids[1].Prev(), 1},
		{"a byte", frames, 1, frames[0][1:], ids[1].Prev(), 1},
		{"all but a byte of an event", frames, len(frames[0]) - 1, "\n", ids[1].Prev(), 1},
		{"an event", frames, len(frames[0]), "", ids[1].Prev(), 1},
		{"an event and a byte", frames, len(frames[0]) + 1, frames[1][1:], ids[2].Prev(), 2},
		{"all but a byte", frames, len(all) - 1, "\n", ids[2], 3},
		{"nothing of a gap and an event", []string{gap, frames[2]}, 0, gap, ids[2].Prev(), 0},
		{"before a gap", []string{frames[0], gap, frames[1]}, 3, frames[0][3:] + gap, ids[1].Prev(), 1},
		{"in a gap", []string{frames[0], gap, frames[1]}, len(frames[0]) + 5, gap[5:], ids[1].Prev(), 1},
		{"after a gap", []string{frames[0], gap, frames[1]}, len(frames[0]+gap) + 5, frames[1][5:], ids[2], 2},
		{"a heartbeat", []string{beat}, 1, beat[1:], ids[2], 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.cursor = ids[2]
			var out Batch
			for _, part := range test.parts {
				out.Bytes = append(out.Bytes, part...)
				if i := slices.Index(frames, part); i >= 0 {
					out.marks = append(out.marks, mark{len(out.Bytes), ids[i], false})
					out.messages++
				} else {
					out.named = len(out.Bytes)
				}
			}
			if rest := string(s.TakeBack(&out, test.n)); rest != test.rest {
				t.Errorf("rest %q, want %q", rest, test.rest)
			}
			if s.cursor != test.cursor || out.messages != test.left {
				t.Errorf("cursor %v and %d messages, want %v and %d", s.cursor, out.messages, test.cursor, test.left)
			}
		})
	}
}
