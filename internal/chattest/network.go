package chattest

import (
	"net"
	"sync"
	"testing"
)

// Network carries connections to a server until a test disturbs it. All methods
// may be called at the same time.
type Network struct {
	// Addr is where clients connect to.
	Addr string

	t     testing.TB
	begin func(*Link) Pass

	mu       sync.Mutex // guards all below
	target   string
	listener net.Listener
	links    map[*Link]struct{}
}

// Link is one connection through a network.
type Link struct {
	Client net.Conn
	// Server is nil until the link has begun.
	Server net.Conn
	// Ended is closed when it has ended.
	Ended chan struct{}
}

// Pass is asked whether what one side has sent reaches the other; nothing at all is
// the end of a side. If not, the link ends. It may wait, and is called for both
// sides at the same time.
type Pass func(p []byte, fromServer bool) bool

// NewNetwork returns a network to a server, which is connected. begin is called
// for each link and may wait; if it returns nil, the link ends. If begin is nil,
// everything passes.
func NewNetwork(t testing.TB, target string, begin func(*Link) Pass) *Network {
	t.Helper()
	if begin == nil {
		begin = func(*Link) Pass { return func([]byte, bool) bool { return true } }
	}
	n := &Network{Addr: FreeAddr(t), t: t, begin: begin, target: target, links: make(map[*Link]struct{})}
	n.Connect()
	t.Cleanup(func() {
		n.Disconnect()
		n.Cut(false)
	})
	return n
}

// Connect plugs the network in.
func (n *Network) Connect() {
	listener, err := net.Listen("tcp", n.Addr)
	if err != nil {
		n.t.Error(err)
		return
	}
	n.mu.Lock()
	n.listener = listener
	n.mu.Unlock()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go n.serve(client)
		}
	}()
}

// Disconnect plugs it out: connections are refused, while links go on.
func (n *Network) Disconnect() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener.Close()
}

// LeadTo has new links go to another server.
func (n *Network) LeadTo(target string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.target = target
}

// Cut ends all links, with a reset for the clients or cleanly.
func (n *Network) Cut(reset bool) {
	for _, l := range n.Links() {
		if reset {
			_ = l.Client.(*net.TCPConn).SetLinger(0)
		}
		l.Close()
	}
}

// Links returns those that there are.
func (n *Network) Links() (list []*Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.links {
		list = append(list, l)
	}
	return list
}

// Close closes both connections.
func (l *Link) Close() {
	l.Client.Close()
	l.Server.Close()
}

func (n *Network) serve(client net.Conn) {
	defer client.Close()
	l := &Link{Client: client, Ended: make(chan struct{})}
	defer close(l.Ended)
	pass := n.begin(l)
	if pass == nil {
		return
	}
	n.mu.Lock()
	target := n.target
	n.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return // as if nobody listened
	}
	defer server.Close()
	l.Server = server
	n.mu.Lock()
	n.links[l] = struct{}{}
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.links, l)
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		carry(server, client, func(p []byte) bool { return pass(p, false) })
		server.Close()
	}()
	carry(client, server, func(p []byte) bool { return pass(p, true) })
	l.Close()
	<-sent
}

func carry(to, from net.Conn, pass func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if !pass(buf[:n]) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		if err != nil {
			return
		}
	}
}
