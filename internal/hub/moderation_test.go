package hub

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// A stream that comes while its name is being kicked does not slip in.
func TestAKickMissesNoStream(t *testing.T) {
	b := newTestHub(t, plenty)
	for i := range 100 {
		sub := defaults("a")
		sub.Name = fmt.Sprint("kim ", i)
		var wait sync.WaitGroup
		wait.Go(func() { b.Kick(sub.Name) })
		s, err := b.Subscribe(sub)
		wait.Wait()
		if err == nil {
			if s.Over() != EndKicked {
				t.Fatalf("it ended for %q", s.Over())
			}
			s.Close()
		} else if !errors.Is(err, ErrKicked) {
			t.Fatal(err)
		}
	}
}

// Nodes end the streams that another node is asked to end.
func TestStreamsThatAnotherNodeEnds(t *testing.T) {
	b := newTestHub(t, plenty)
	tea, lobby := b.mustSubscribe(t, defaults("a", "tea")), b.mustSubscribe(t, defaults("lobby"))
	defer tea.Close()
	defer lobby.Close()
	b.Told("n", []byte(`{"end":{"room":"tea"}}`))
	if tea.Over() != EndReload || lobby.Over() != "" {
		t.Errorf("after the end of a room one has ended for %q, the other for %q", tea.Over(), lobby.Over())
	}
	b.Told("n", []byte(`{"end":{}}`))
	if lobby.Over() != EndReload {
		t.Errorf("after the end of all it has ended for %q", lobby.Over())
	}
}
