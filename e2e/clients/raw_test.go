package clients

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// hostile are texts that would forge a field, an event or a comment in a raw stream whose
// lines were not cut where parsers cut them.
var hostile = []string{
	"<b>one</b>",
	"two\nlines",
	"a\r\nb\rc",
	"x\n\nevent: gap\ndata: {}\n\n",
	"x\rid: 9-9\rdata: forged",
	"x\u2028id: 9-9\u2029event: forged",
	"  leading",
	"id: 9-9",
	"data: data",
	": comment",
	"retry: 1\nretry: 1",
	"\ufeffmark",
	"\nfirst line is empty",
	"ends with a line\n",
	"x\n\n\n",
	"last",
}

// fewLines are the clients whose programs here take one line of data.
var fewLines = []string{"curl and a few lines", "Java's HttpClient", "OkHttp", "Mojolicious", "PHP's curl"}

// cut is what parsers make of a text: lines, which all end alike.
var cut = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n")

// trims are what some clients drop of a text.
var trims = map[string]func(string) string{
	"fetch-event-source": trimStart,
	"@azure/core-sse":    trimStart,
	"react-native-sse":   func(text string) string { return strings.TrimLeft(text, " \ufeff") },
}

// trimStart removes a byte order mark or an empty first line.
func trimStart(text string) string {
	return strings.TrimPrefix(strings.TrimPrefix(text, "\ufeff"), "\n")
}

// A raw stream is read alike by each client: its lines are the text's, and no text forges
// anything.
func TestClientsReadRawStreams(t *testing.T) {
	t.Parallel()
	c := newChat(t, "on")
	c.block = strings.Replace(c.block, "sse_chat {", "sse_chat {\nformat raw", 1)
	c.start(t)
	var readers []*rawReader
	for name, run := range and(clients, libraries) {
		if slices.Contains(fewLines, name) {
			continue
		}
		r := &rawReader{name: name}
		keepRunning(t, name, run, c.at()+"/subscribe?room="+escapedRoom, r.deliver)
		readers = append(readers, r)
	}
	chattest.Within(t, patience, "all have connected", func() bool { return c.subscribers(t) == len(readers) })
	for _, text := range hostile {
		c.publish(t, text)
	}
	for _, r := range readers {
		chattest.Within(t, patience, r.name+" has the last one", func() bool { return strings.HasSuffix(r.all(), "\"last\"\n") })
		var want strings.Builder
		for _, text := range hostile {
			text = cut.Replace(text)
			if trim := trims[r.name]; trim != nil {
				text = trim(text)
			}
			fmt.Fprintf(&want, "%q\n", text)
		}
		if got := r.all(); got != want.String() {
			t.Errorf("%s reads\n%swant\n%s", r.name, got, want.String())
		}
	}
}

// rawReader is a client of a raw stream.
type rawReader struct {
	name string

	mu  sync.Mutex
	got strings.Builder
}

// deliver records the data of a message, or another event, in a line.
func (r *rawReader) deliver(event, data string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch event {
	case "start": // sent only to those who ask for it
	case "", "message":
		fmt.Fprintf(&r.got, "%q\n", data)
	default:
		fmt.Fprintf(&r.got, "event %q: %q\n", event, data)
	}
}

// all returns what the client has read.
func (r *rawReader) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}
