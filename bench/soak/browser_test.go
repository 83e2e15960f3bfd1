package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

func TestReadersShareConnectionsAsTheirProtocolHasThem(t *testing.T) {
	for over, want := range map[protocol.Name][]int{
		protocol.HTTP: {1, 48}, protocol.HTTPS: {1, 48}, protocol.H2: {1, 2, 4, 48},
	} {
		readers := make(map[*browser]int)
		for _, b := range newBrowsers(over, 4*12*40) {
			readers[b]++
		}
		var sizes []int
		for _, n := range readers {
			sizes = append(sizes, n)
		}
		slices.Sort(sizes)
		if got := slices.Compact(sizes); !slices.Equal(got, want) {
			t.Errorf("over %s browsers have %d readers, want %d", over, got, want)
		}
	}
}

// A server may end a stream, but only a reader may break it.
func TestABrokenStreamIsAFault(t *testing.T) {
	for _, over := range []protocol.Name{protocol.HTTP, protocol.HTTPS, protocol.H2} {
		for name, c := range map[string]struct {
			serve func(cut func())
			want  counts
			fault bool
		}{
			"ended":           {func(func()) {}, counts{streams: 1, ended: 1}, false},
			"broken":          {func(func()) { panic(http.ErrAbortHandler) }, counts{streams: 1}, true},
			"cut by a reader": {func(cut func()) { cut() }, counts{streams: 1, torn: 1}, false},
		} {
			t.Run(string(over)+" "+name, func(t *testing.T) {
				r := &reader{load: new(load), browser: newBrowser(over, over == protocol.H2)}
				site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
					_ = http.NewResponseController(w).Flush()
					for r.load.streams.Load() == 0 {
						time.Sleep(time.Millisecond)
					}
					c.serve(func() {
						r.cut(true)
						<-request.Context().Done()
					})
				}))
				site.EnableHTTP2 = over == protocol.H2
				if over.IsSecure() {
					site.StartTLS()
				} else {
					site.Start()
				}
				defer site.Close()
				defer r.browser.transport.CloseIdleConnections()
				r.url = site.URL
				left, err := r.visit(context.Background())
				if got := r.load.counted(); left || got != c.want || (err != nil) != c.fault {
					t.Errorf("left: %t, %v, %+v; want %+v, a fault: %t", left, err, got, c.want, c.fault)
				}
			})
		}
	}
}
