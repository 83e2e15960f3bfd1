package clients

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// proxy is a network between clients and a server whose links may live for a
// limited time.
type proxy struct {
	*chattest.Network

	mu   sync.Mutex
	life time.Duration // of a new link; 0 is without end
	aged int           // links that have ended for their age

	greeted atomic.Int32 // links that have carried a hello
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := new(proxy)
	p.Network = chattest.NewNetwork(t, target, p.begin)
	return p
}

// limit ends each new link when it is so old, as some load balancers do.
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

func (p *proxy) begin(l *chattest.Link) chattest.Pass {
	p.mu.Lock()
	life := p.life
	p.mu.Unlock()
	if life > 0 {
		go func() {
			select {
			case <-l.Ended:
			case <-time.After(life):
				p.mu.Lock()
				p.aged++
				p.mu.Unlock()
				l.Close()
			}
		}()
	}
	return func(b []byte, fromServer bool) bool {
		if fromServer && bytes.Contains(b, []byte("event: hello")) {
			p.greeted.Add(1)
		}
		return true
	}
}
