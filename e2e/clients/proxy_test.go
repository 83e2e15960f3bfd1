package clients

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

// proxy is a network between clients and a server that the test can cut.
type proxy struct {
	addr   string
	target string

	mu       sync.Mutex
	listener net.Listener
	links    map[[2]net.Conn]struct{} // client and server
	life     time.Duration            // of a new link; 0 is no limit
	aged     int                      // links that ended because of their age
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{addr: "127.0.0.1:" + caddyproc.FreePort(t), target: target, links: make(map[[2]net.Conn]struct{})}
	p.connect(t)
	t.Cleanup(func() {
		p.disconnect()
		p.cut(false)
	})
	return p
}

// connect and disconnect plug the network in and out; while it is out,
// connections are refused.
func (p *proxy) connect(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
}

func (p *proxy) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener.Close()
}

// limit ends each new link at a given age, as some load balancers do.
func (p *proxy) limit(life time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = life
}

// ended counts the links that ended because of their age.
func (p *proxy) ended() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.aged
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
		return // as if nobody were listening
	}
	defer server.Close()
	link := [2]net.Conn{client, server}
	p.mu.Lock()
	p.links[link] = struct{}{}
	if p.life > 0 {
		timer := time.AfterFunc(p.life, func() {
			p.mu.Lock()
			p.aged++
			p.mu.Unlock()
			client.Close()
			server.Close()
		})
		defer timer.Stop()
	}
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
