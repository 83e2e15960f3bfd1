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
)

const (
	// dialTimeout is how long one server may take to answer.
	dialTimeout = 2 * time.Second
	// pingEvery finds a connection dead after three of them.
	pingEvery = 2 * time.Second
	// writeTimeout is how long a server may read nothing.
	writeTimeout = 2 * time.Second
	// refusedFor is how long a server that has refused the credentials is left
	// alone, at most.
	refusedFor = 10 * time.Second
)

// server says how NATS is reached.
type server struct {
	urls        []string
	credentials string
	ca          string
	cert, key   string
}

// connect connects to one of the servers, or returns a connection that will
// come as soon as one can be reached. An error is one that no waiting helps.
func (s *Store) connect() (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("sse_chat " + s.config.stream),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(2),
		// for ever, also if the credentials are refused for a while
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(s.reconnectDelay),
		nats.SetCustomDialer(dialer{}),
		nats.FlusherTimeout(writeTimeout),
		// what cannot be sent now is refused now
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				s.logger.Warn("lost the connection to NATS; publishers are refused until it is back", zap.Error(err))
			}
			s.away.Store(true)
			signal(s.disconnected)
		}),
		nats.ConnectHandler(func(nc *nats.Conn) { s.reconnected(nc) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { s.reconnected(nc) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.failed(err) }),
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
	for range 2 { // or the server is going down
		if !dropped(err) {
			break
		}
		nc, err = nats.Connect(url, opts...)
	}
	if err == nil || !unreachable(err) {
		return nc, err
	}
	s.logger.Warn("NATS cannot be reached yet; publishers are refused until it can", zap.Error(err))
	s.away.Store(true) // before there is a connection that could know better
	return nats.Connect(url, append(opts, nats.RetryOnFailedConnect(true))...)
}

// dropped reports whether a server has closed a connection right after the
// handshake. One that refuses a client's certificate says so, but what it says
// may be lost with the connection.
func dropped(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network && errors.Is(err, nats.ErrTLS)
}

// unreachable reports whether a server that comes up later would answer.
func unreachable(err error) bool {
	if dropped(err) {
		return false
	}
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "remote error" // what crypto/tls makes of a refusal
	}
	_, name := errors.AsType[*net.DNSError](err)
	return name
}

// dialer makes connections that are over when a write fails. One of which nothing
// at all was taken would be used again, and each write would take its time.
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

// reconnectDelay keeps nodes that lost the same server from coming back as one,
// and a server that refuses them from hearing of it all the time. nats.go calls
// it between attempts.
func (s *Store) reconnectDelay(attempts int) time.Duration {
	longest := min(2*time.Second, 100*time.Millisecond<<min(attempts, 10))
	// it tells nobody else of a refusal before the first connection
	if nc := s.conn.Load(); nc != nil && refuses(nc.LastError()) {
		s.noteRefusal(nc.LastError())
		longest = refusedFor
	}
	return longest/2 + rand.N(longest/2)
}

// refuses reports whether an error is a server's that does not take the
// credentials.
func refuses(err error) bool {
	if err == nil {
		return false
	}
	// as the server words it, or nats.go
	text := strings.ToLower(err.Error())
	for _, refusal := range []string{"authorization violation", "authentication expired", "authentication revoked", "authentication timeout"} {
		if strings.Contains(text, refusal) {
			return true
		}
	}
	return false
}

// noteRefusal notes why NATS does not take the connection. It is logged, once,
// where the stream cannot be followed.
func (s *Store) noteRefusal(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = err
}

func (s *Store) reconnected(nc *nats.Conn) {
	s.noteRefusal(nil)
	s.away.Store(false)
	s.logger.Info("connected to NATS", zap.String("server", nc.ConnectedUrlRedacted()))
	signal(s.connected)
}

// signal puts a value into a channel that has none, and drain takes it out.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// failed is told of what fails without anybody waiting for it.
func (s *Store) failed(err error) {
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

// explain adds what is known of why a request to JetStream failed.
func (s *Store) explain(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forbidden != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)) {
		return fmt.Errorf("%w: %w", errForbidden, s.forbidden)
	}
	return err
}

var errForbidden = errors.New("NATS does not permit what the store needs")
