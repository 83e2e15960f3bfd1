package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
)

const (
	// dialTimeout is how long one server may take to answer.
	dialTimeout = 2 * time.Second
	// pingEvery is how often a connection is probed. After three pings without an
	// answer it is taken for dead.
	pingEvery = 2 * time.Second
	// writeTimeout is how long a write may wait for a server that does not read.
	writeTimeout = 2 * time.Second
	// refusedFor is the longest pause before the next attempt after a server has
	// refused the credentials.
	refusedFor = 10 * time.Second
)

// server says how NATS is reached.
type server struct {
	urls        []string
	credentials string
	ca          string
	cert, key   string
}

// connect connects to one of the servers. If none can be reached, it returns a
// connection that keeps trying. It returns an error only if retrying is useless.
func (s *Store) connect() (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("sse_chat " + s.config.stream),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(2),
		// reconnect for ever, even if the credentials are refused for a while
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(s.reconnectDelay),
		nats.SetCustomDialer(dialer{}),
		nats.FlusherTimeout(writeTimeout),
		// return an error at once for what cannot be sent now
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				s.logger.Warn("lost the connection to NATS; publishers are refused until it is back", zap.Error(err))
			}
			s.away.Store(true)
			wake.Up(s.disconnected)
		}),
		nats.ConnectHandler(func(nc *nats.Conn) { s.reconnected(nc) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { s.reconnected(nc) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.noteError(err) }),
	}
	if s.config.credentials != "" {
		opts = append(opts, nats.UserCredentials(s.config.credentials))
	}
	if s.config.ca != "" {
		opts = append(opts, nats.RootCAs(s.config.ca))
	}
	if s.config.cert != "" {
		opts = append(opts, nats.ClientCert(s.config.cert, s.config.key))
	}
	url := strings.Join(s.config.urls, ",")
	nc, err := nats.Connect(url, opts...)
	for range 2 { // the server may just be shutting down
		if !closedInHandshake(err) {
			break
		}
		nc, err = nats.Connect(url, opts...)
	}
	if err == nil || !unreachable(err) {
		return nc, err
	}
	s.logger.Warn("NATS cannot be reached yet; publishers are refused until it can", zap.Error(err))
	s.away.Store(true) // before a handler of the new connection can reset it
	return nats.Connect(url, append(opts, nats.RetryOnFailedConnect(true))...)
}

// closedInHandshake reports whether a server has closed a connection right after the
// handshake. A server that refuses a client's certificate sends an alert, but that
// may be lost with the connection.
func closedInHandshake(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network && errors.Is(err, nats.ErrTLS)
}

// unreachable reports whether an error may go away when a server starts.
func unreachable(err error) bool {
	if closedInHandshake(err) {
		return false
	}
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "remote error" // that is an alert of the server in crypto/tls
	}
	_, name := errors.AsType[*net.DNSError](err)
	return name
}

// dialer makes connections that close when a write fails. nats.go would go on to use
// the connection if nothing was written, and each write would time out again.
type dialer struct{}

// Dial implements [nats.CustomDialer].
func (dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &strictConn{conn}, nil
}

type strictConn struct{ net.Conn }

func (c *strictConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

// reconnectDelay returns how long nats.go waits before its next attempt. The delay is
// random, because many nodes may have lost the same server, and longer if the server
// refuses the credentials.
func (s *Store) reconnectDelay(attempts int) time.Duration {
	longest := min(2*time.Second, 100*time.Millisecond<<min(attempts, 10))
	// before the first connection, no handler reports a refusal
	if nc := s.conn.Load(); nc != nil && refuses(nc.LastError()) {
		s.noteRefusal(nc.LastError())
		longest = refusedFor
	}
	return longest/2 + rand.N(longest/2)
}

// refuses reports whether an error means that a server refuses the credentials.
func refuses(err error) bool {
	if err == nil {
		return false
	}
	// texts of the server and of nats.go
	text := strings.ToLower(err.Error())
	for _, refusal := range []string{"authorization violation", "authentication expired", "authentication revoked", "authentication timeout"} {
		if strings.Contains(text, refusal) {
			return true
		}
	}
	return false
}

// noteRefusal records why NATS refuses the connection, or that it does not. run logs
// it.
func (s *Store) noteRefusal(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = err
}

// reconnected is called by nats.go after each new connection.
func (s *Store) reconnected(nc *nats.Conn) {
	s.noteRefusal(nil)
	s.logger.Info("connected to NATS", zap.String("server", nc.ConnectedUrlRedacted()))
	if s.away.Swap(false) { // the first connection may be in use already
		wake.Up(s.connected)
	}
}

// drain undoes a [wake.Up] that nobody has received.
func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// noteError records and logs an error that is not the result of a call.
func (s *Store) noteError(err error) {
	if refuses(err) {
		s.noteRefusal(err)
		return
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		s.mu.Lock()
		s.forbidden = err
		s.mu.Unlock()
	}
	s.logger.Warn("NATS reports an error", zap.Error(err))
}

// explain adds the reason to an error of a request to JetStream, if it is known.
func (s *Store) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forbidden != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)) {
		return fmt.Errorf("%w: %w", errForbidden, s.forbidden)
	}
	return err
}

var errForbidden = errors.New("NATS does not permit what the store needs")
