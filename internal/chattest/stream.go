// Package chattest is what tests share: it reads streams as browsers do.
package chattest

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Event is one event of a stream, as a browser would dispatch it.
type Event struct {
	Name, ID, Data string
}

// ParseStream splits what a stream sent into events, as the standard says.
func ParseStream(stream string) (events []Event) {
	var e Event
	for line := range strings.Lines(stream) {
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if e.Data != "" {
				events = append(events, e)
			}
			e = Event{}
		case field == "event":
			e.Name = value
		case field == "id":
			e.ID = value
		case field == "data":
			e.Data += value
		}
	}
	return events
}

// Dechunk returns what chunks of an HTTP/1.1 body hold. None may end inside an
// event, unless so much is written at once that Caddy does it in pieces.
func Dechunk(t testing.TB, chunks string) (body string) {
	t.Helper()
	large := false
	for chunks != "" {
		line, rest, ok := strings.Cut(chunks, "\r\n")
		size, err := strconv.ParseUint(line, 16, 32)
		if !ok || err != nil || uint64(len(rest)) < size+2 || rest[size:size+2] != "\r\n" {
			t.Fatalf("no chunk: %q", chunks)
		}
		chunk := rest[:size]
		large = large || size > 32<<10
		if whole := strings.HasSuffix(chunk, "\n\n"); !whole && !large && !strings.HasPrefix(chunk, ":") && !strings.HasPrefix(chunk, "retry: ") {
			t.Fatalf("the chunk ends inside an event: %.300q", chunk)
		} else if whole {
			large = false
		}
		body += chunk
		chunks = rest[size+2:]
	}
	return body
}

// Message is the data of a message.
type Message struct {
	Text, ID, Room, Name, Nonce string
	Timestamp                   int64
}

func (e Event) Message(t testing.TB) (m Message) {
	t.Helper()
	e.Decode(t, &m)
	if e.Name != "" || m.ID != e.ID {
		t.Fatalf("not a message: %+v", e)
	}
	return m
}

func (e Event) Decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.Data), into); err != nil {
		t.Fatalf("%v in %+v", err, e)
	}
}

func MustID(t testing.TB, s string) store.ID {
	t.Helper()
	id, err := store.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

type PresenceData struct {
	Room    string
	Count   int
	Names   []string
	Unnamed int
}

func (e Event) Presence(t testing.TB) (p PresenceData) {
	t.Helper()
	if e.Decode(t, &p); e.Name != "presence" || e.ID != "" {
		t.Fatalf("not a presence: %+v", e)
	}
	return p
}
