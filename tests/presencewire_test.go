package tests

import (
	"slices"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// What is told goes over the wire: of who names a tag, or is named by the
// configuration, all streams are one.
func TestPeopleWithSeveralStreams(t *testing.T) {
	last := func(c *chattest.Stream) (p chattest.PresenceData) {
		t.Helper()
		e := c.Next(t)
		for e.Name != "presence" {
			e = c.Next(t)
		}
		return e.Presence(t)
	}
	const plain, configured = "", "name {http.request.header.X-User}"
	const tag = "&author=Zm9vYmFyXy0"
	for _, test := range []struct {
		name    string
		options string
		streams []string // queries, and a header
		count   int
		names   []string
		unnamed int
	}{
		{"a tag", plain, []string{"name=kim" + tag, "name=kim" + tag}, 1, []string{"kim"}, 0},
		{"a tag, another name", plain, []string{"name=kim" + tag, "name=lee" + tag}, 1, []string{"kim", "lee"}, 0},
		{"a tag, no name", plain, []string{tag, tag}, 1, nil, 1},
		{"a name", plain, []string{"name=kim", "name=kim"}, 2, []string{"kim"}, 0},
		{"nothing", plain, []string{"", ""}, 2, nil, 2},
		{"the configuration's name", configured, []string{"name=x X-User: kim", tag + " X-User: kim"}, 1, []string{"kim"}, 0},
		{"none in the configuration", configured, []string{"name=x" + tag, "name=y" + tag}, 1, nil, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := caddytest.Serve(t, test.options)
			var p chattest.PresenceData
			for _, stream := range test.streams {
				query, header, _ := strings.Cut(stream, " ")
				var headers []string
				if header != "" {
					headers = []string{header}
				}
				p = last(s.Stream(t, "/subscribe?events=1&"+query, headers...))
			}
			if p.Count != test.count || !slices.Equal(p.Names, test.names) || p.Unnamed != test.unnamed {
				t.Errorf("%+v is told, want %d, %q, %d unnamed", p, test.count, test.names, test.unnamed)
			}
		})
	}
}
