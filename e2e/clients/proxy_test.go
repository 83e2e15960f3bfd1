package clients

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy is a network between clients and a server that can be cut.
type proxy struct {
	addr   string
	target string

	mu    sync.Mutex
	links map[[2]net.Conn]struct{} // client and server
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: listener.Addr().String(), target: target, links: make(map[[2]net.Conn]struct{})}
	t.Cleanup(func() {
		listener.Close()
		p.cut(false)
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// cut ends all connections, by a reset or cleanly.
func (p *proxy) cut(reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for link := range p.links {
		if reset {
			_ = link[0].(*net.TCPConn).SetLinger(0)
		}
		link[0].Close()
		link[1].Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return // as if nobody listened
	}
	defer server.Close()
	link := [2]net.Conn{client, server}
	p.mu.Lock()
	p.links[link] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, link)
		p.mu.Unlock()
	}()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}
