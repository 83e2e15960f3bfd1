package nodes

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
)

// All peers are asked about all people, and waited for, but not for long. Nobody is
// away who may be at one that has not answered.
func TestPeersAreAsked(t *testing.T) {
	var people []string
	for i := range 2*maxAsked + 1 {
		people = append(people, fmt.Sprint(i))
	}
	for name, test := range map[string]struct {
		peers []string
		delay map[string]time.Duration // until a peer answers
		takes time.Duration
		knows bool // of whom is at c
		// the others are
		others presence.Standing
	}{
		"all answer at once":  {[]string{"b", "c"}, nil, 0, true, presence.Away},
		"one is slow":         {[]string{"b", "c"}, map[string]time.Duration{"c": 300 * time.Millisecond}, 300 * time.Millisecond, true, presence.Away},
		"one is too slow":     {[]string{"b", "c"}, map[string]time.Duration{"c": time.Minute}, AnswerLimit, false, presence.Left},
		"one answers unasked": {[]string{"b"}, nil, 0, true, presence.Away},
		"one is gone":         {[]string{"a", "b", "c"}, nil, AnswerLimit, true, presence.Left},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var q Inquiries
				asked := 0
				tell := func(n Notice) {
					asked += len(n.Ask.People)
					for _, peer := range []string{"c", "b"} {
						answer := n.Ask.AnswerWith(map[string]presence.Standing{"at " + peer: presence.Here, "0": presence.Left})
						if delay := test.delay[peer]; delay > 0 {
							time.AfterFunc(delay, func() { q.Hear(peer, answer) })
						} else {
							q.Hear(peer, answer)
							q.Hear(peer, answer) // twice
						}
					}
				}
				begin := time.Now()
				standing := q.Ask(t.Context(), test.peers, people, tell)
				if took := time.Since(begin); took != test.takes || asked != len(people) {
					t.Errorf("to ask about %d of %d takes %s, want %s", asked, len(people), took, test.takes)
				}
				if (standing["at c"] == presence.Here) != test.knows || standing["at b"] != presence.Here || standing["0"] != presence.Left || standing["1"] != test.others {
					t.Errorf("they are %v", standing)
				}
				time.Sleep(2 * time.Minute) // when the last answer comes
				if len(q.open) > 0 {
					t.Errorf("%d questions are open", len(q.open))
				}
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var q Inquiries
	if begin := time.Now(); q.Ask(ctx, []string{"b"}, people, func(Notice) {})["1"] != presence.Left || time.Since(begin) > AnswerLimit/2 {
		t.Error("it is waited for longer than the context")
	}
}
