package ssechat

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// event is one event of a stream, as a browser would dispatch it.
type event struct {
	name, id, data string
}

// parseStream splits what a stream sent into events, as the standard says.
func parseStream(stream string) (events []event) {
	var e event
	for line := range strings.Lines(stream) {
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if e.data != "" {
				events = append(events, e)
			}
			e = event{}
		case field == "event":
			e.name = value
		case field == "id":
			e.id = value
		case field == "data":
			e.data += value
		}
	}
	return events
}

// message is the data of a message.
type message struct {
	Text, ID, Room, Name, Nonce string
	Timestamp                   int64
}

func (e event) message(t testing.TB) (m message) {
	t.Helper()
	e.decode(t, &m)
	if e.name != "" || m.ID != e.id {
		t.Fatalf("not a message: %+v", e)
	}
	return m
}

func (e event) decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), into); err != nil {
		t.Fatalf("%v in %+v", err, e)
	}
}

func mustID(t testing.TB, s string) store.ID {
	t.Helper()
	id, err := store.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
