package ssechat

import (
	"encoding/json"
	"strconv"
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

// dechunk returns what chunks of an HTTP/1.1 body hold. None may end inside an
// event, unless so much is written at once that Caddy does it in pieces.
func dechunk(t testing.TB, chunks string) (body string) {
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
