package push

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

var loopback = netip.MustParseAddr("127.0.0.1")

func newStorage(t testing.TB) *certmagic.FileStorage {
	t.Helper()
	return &certmagic.FileStorage{Path: t.TempDir()}
}

// fragile is a storage that hangs or fails when the test says so.
type fragile struct {
	Storage

	mu    sync.Mutex
	hangs chan struct{} // closed when it goes on
	fault error
	key   string // of the only write that fails; "" for all requests
}

// only has the writes of one key fail.
func (f *fragile) only(key string, fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.key, f.fault = key, fault
}

func (f *fragile) set(hangs chan struct{}, fault error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hangs, f.fault = hangs, fault
}

func (f *fragile) wait(ctx context.Context, key string) error {
	f.mu.Lock()
	hangs, fault := f.hangs, f.fault
	if f.key != "" && f.key != key {
		fault = nil
	}
	f.mu.Unlock()
	if hangs != nil {
		select {
		case <-hangs:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fault
}

func (f *fragile) Load(ctx context.Context, key string) ([]byte, error) {
	if err := f.wait(ctx, "reading "+key); err != nil {
		return nil, err
	}
	return f.Storage.Load(ctx, key)
}

func (f *fragile) Store(ctx context.Context, key string, value []byte) error {
	if err := f.wait(ctx, key); err != nil {
		return err
	}
	return f.Storage.Store(ctx, key, value)
}

// names is a name server that gives another address each time it is asked.
type names struct {
	addr  string
	addrs []netip.Addr
	asked atomic.Int64
}

func newNames(t *testing.T, addrs ...string) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n := &names{addr: conn.LocalAddr().String()}
	for _, s := range addrs {
		n.addrs = append(n.addrs, netip.MustParseAddr(s))
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := n.answer(buf[:size]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return n
}

func (n *names) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	q := m.Questions[0]
	addr := n.addrs[int(n.asked.Add(1)-1)%len(n.addrs)]
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0, Type: q.Type}
	switch {
	case q.Type == dnsmessage.TypeA && addr.Is4():
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}})
	case q.Type == dnsmessage.TypeAAAA && !addr.Is4():
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, strings.Replace(network, "tcp", "udp", 1), n.addr)
	}}
}

// The end does not wait for what hangs, whatever it is.
func TestTheEndIsNotHeldUp(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	s := NewSender("default", func(context.Context, []string) map[string]presence.Standing {
		close(asked)
		<-release
		return nil
	})
	defer s.Use(newStorage(t), "mailto:a@example.com", zap.NewNop())()
	sub := newSub(t, "https://push.example/a")
	if err := s.Put(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	s.Notify(store.NewMessage(store.ID{Ms: 1}, "tea", store.Draft{Text: "x"}))
	<-asked
	time.AfterFunc(5*Farewell, func() { close(release) })
	begin := time.Now()
	s.Close()
	if took := time.Since(begin); took > 2*Farewell {
		t.Errorf("the end takes %s", took)
	}
}
