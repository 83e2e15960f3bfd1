package webhook

import (
	"fmt"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// A loss in one room hides no older one in another.
func TestALossOfEachRoomIsTold(t *testing.T) {
	h := openHub(t, "", store.Limits{Count: 10, Rooms: 100})
	after := h.publish(t, "tea", "x")[0]
	publish := func(room string, n int) {
		for i := range n {
			h.publish(t, room, fmt.Sprint(i))
		}
	}
	publish("b", 10)
	publish("a", 20)
	b := backlog{store: h.store}
	isLost := func(room string) bool {
		t.Helper()
		b.add(room, after.Next())
		p, err := b.read(t.Context(), after, h.State().Latest)
		if err != nil {
			t.Fatal(err)
		}
		return p.lost
	}
	if isLost("b") || !isLost("a") {
		t.Error("at first not just room a has lost something")
	}
	publish("b", 5)
	if !isLost("b") {
		t.Error("what room b has lost is not told, because room a has lost newer messages")
	}
	if isLost("b") || isLost("a") {
		t.Error("a loss is told again")
	}
	for i := range 10 * roomsPerPage { // what the site has passed is not kept
		b.tellLoss(fmt.Sprint(i), after, after)
	}
	if len(b.told) > 2*roomsPerPage {
		t.Errorf("the losses of %d rooms are kept", len(b.told))
	}
}
