package caddytest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/freeport"
)

// API returns the admin API of whatever Caddy runs in this process.
var API = sync.OnceValue(func() *chattest.Site {
	addr, err := freeport.Addr()
	if err != nil {
		panic(err)
	}
	return chattest.At("http://"+addr, unkept())
})

// unkept returns a client that opens a connection for each request, because a
// reload closes idle ones, maybe while a request takes one.
func unkept() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// Hub asks the admin API for a hub of the Caddy in this process.
func Hub(t testing.TB, hub string) chattest.Hub {
	t.Helper()
	return API().Hub(t, hub)
}

// Sites are several sites of one Caddy in this process, with its admin API.
type Sites struct {
	Admin *chattest.Site
	Sites []*chattest.Site
	// Head is the global options.
	Head string
}

// ServeSites starts a Caddy with more global options and sites of those blocks.
func ServeSites(t testing.TB, global string, blocks ...string) *Sites {
	t.Helper()
	client := unkept()
	all := &Sites{Admin: API(), Head: GlobalOptions() + global}
	for range blocks {
		all.Sites = append(all.Sites, chattest.At("http://"+chattest.FreeAddr(t), client))
	}
	all.Load(t, blocks...)
	stopAfter(t)
	return all
}

// stopAfter stops the Caddy of this process when the test ends.
func stopAfter(t testing.TB) {
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// Load loads the blocks of the sites, in place of what there was.
func (s *Sites) Load(t testing.TB, blocks ...string) {
	t.Helper()
	var config strings.Builder
	fmt.Fprintf(&config, "{%s}\n", s.Head)
	for i, block := range blocks {
		fmt.Fprintf(&config, "http://%s {\n%s\n}\n", s.Sites[i].Addr, block)
	}
	if err := LoadCaddyfile(t, config.String()); err != nil {
		t.Fatal(err)
	}
}
