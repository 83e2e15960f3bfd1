package parking

import (
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
)

// A hub that closes takes no stream any more, and leaves no goroutine.
func TestParkingCloses(t *testing.T) {
	l := NewLot(hubtest.New(t, hubtest.Plenty))
	coming := l.Enter()
	if coming == nil {
		t.Fatal("an open hub parks nothing")
	}
	l.Close()
	select {
	case <-l.done:
		t.Fatal("the senders stop although a stream is about to come")
	default:
	}
	if l.Enter() != nil {
		t.Error("a hub that closes takes another stream")
	}
	coming.Leave()
	<-l.done
}
