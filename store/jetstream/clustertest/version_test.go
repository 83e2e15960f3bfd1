package clustertest

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// olderServer returns the address of a server that says it is of another
// version than it is.
func olderServer(t *testing.T, version string) string {
	t.Helper()
	nats := single(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	carry := func(conn net.Conn) {
		defer conn.Close()
		to, err := net.Dial("tcp", nats.Addr().String())
		if err != nil {
			return
		}
		defer to.Close()
		go func() {
			_, _ = io.Copy(to, conn)
			to.Close()
		}()
		buf := make([]byte, 32<<10)
		for {
			n, err := to.Read(buf)
			if err != nil {
				return
			}
			said := bytes.ReplaceAll(buf[:n], []byte(`"version":"`+server.VERSION+`"`), []byte(`"version":"`+version+`"`))
			if _, err := conn.Write(said); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go carry(conn)
		}
	}()
	return "nats://" + l.Addr().String()
}

// TestServersThatAreTooOld are refused by their version, because what they lack
// would be noticed when messages are lost.
func TestServersThatAreTooOld(t *testing.T) {
	for _, test := range []struct {
		version  string
		replicas int
		want     string
	}{
		{"2.8.4", 0, "NATS 2.8.4 is too old: 2.9 is needed"},
		{"2.10.22", 3, "NATS 2.10.22 is too old for replicas"},
		{"2.9.10", 1, ""},
	} {
		t.Run(test.version, func(t *testing.T) {
			module := jetstream.Module{URLs: []string{olderServer(t, test.version)}, Replicas: test.replicas}
			s, err := module.Open("test", new(storetest.Hub), few)
			if err == nil {
				_ = s.Close()
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}
