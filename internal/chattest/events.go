// Package chattest is the kit of all tests that speak to a chat: it sends requests,
// reads streams as browsers do, asks the admin API, and waits. It neither runs
// Caddy nor knows the handler: package caddytest does.
//
// What takes a [testing.TB] fails the test if it cannot do its work, and has to be
// called in the test's goroutine.
package chattest

import (
	"bufio"
	"encoding/json"
	"io"
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
	hasData := false
	for line := range strings.Lines(stream) {
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if hasData {
				e.Data = strings.TrimSuffix(e.Data, "\n")
				events = append(events, e)
			}
			e, hasData = Event{}, false
		case field == "event":
			e.Name = value
		case field == "id":
			e.ID = value
		case field == "data":
			e.Data += value + "\n"
			hasData = true
		}
	}
	return events
}

// ReadEvents reads a stream and calls take for each event with data, until take
// says no or the stream ends. Unlike [ParseStream] it does not wait for the end.
func ReadEvents(stream io.Reader, take func(Event) bool) error {
	var event strings.Builder
	for lines := bufio.NewReaderSize(stream, 4<<10); ; {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		event.WriteString(line)
		if line != "\n" {
			continue
		}
		for _, e := range ParseStream(event.String()) {
			if !take(e) {
				return nil
			}
		}
		event.Reset()
	}
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

// Message returns the message that an event brings.
func (e Event) Message(t testing.TB) (m Message) {
	t.Helper()
	e.Decode(t, &m)
	if e.Name != "" || m.ID != e.ID {
		t.Fatalf("not a message: %+v", e)
	}
	return m
}

// Decode reads the JSON of an event.
func (e Event) Decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.Data), into); err != nil {
		t.Fatalf("%v in %+v", err, e)
	}
}

// MustID parses an id.
func MustID(t testing.TB, s string) store.ID {
	t.Helper()
	id, err := store.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// PresenceData is the data of a presence.
type PresenceData struct {
	Room    string
	Count   int
	Names   []string
	Unnamed int
}

// Presence returns the presence that an event tells.
func (e Event) Presence(t testing.TB) (p PresenceData) {
	t.Helper()
	if e.Decode(t, &p); e.Name != "presence" || e.ID != "" {
		t.Fatalf("not a presence: %+v", e)
	}
	return p
}
