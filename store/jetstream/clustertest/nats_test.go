package clustertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

func TestMain(m *testing.M) {
	if runAsNATS() {
		return
	}
	allowPushes()
	caddytest.Main(m)
}

// patience is how long something may take that is sure to come.
const patience = 60 * time.Second

// natsServer is a NATS server that can be stopped and started again with what
// it has stored.
type natsServer struct {
	options server.Options
	*server.Server
}

func (n *natsServer) start(t testing.TB) {
	t.Helper()
	options := n.options
	s, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("NATS_LOG") != "" {
		s.ConfigureLogger()
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatalf("NATS is not ready after %s", patience)
	}
	n.Server = s
}

// kill stops the server as abruptly as it can be in the same process.
func (n *natsServer) kill() {
	n.Shutdown()
	n.WaitForShutdown()
}

func (n *natsServer) url() string { return "nats://127.0.0.1:" + strconv.Itoa(n.options.Port) }

func freePort(t testing.TB) int {
	t.Helper()
	port, err := strconv.Atoi(chattest.FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// single starts a server that is stopped when the test ends.
func single(t testing.TB, change ...func(*server.Options)) *natsServer {
	t.Helper()
	n := &natsServer{options: server.Options{
		Host: "127.0.0.1", Port: freePort(t), JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: os.Getenv("NATS_LOG") == "",
	}}
	for _, f := range change {
		f(&n.options)
	}
	n.start(t)
	t.Cleanup(n.kill)
	return n
}

// cluster starts servers that are one cluster.
func cluster(t testing.TB, size int, change ...func(i int, options *server.Options)) []*natsServer {
	t.Helper()
	ports := make([]int, 2*size)
	for i := range ports {
		ports[i] = freePort(t)
	}
	routes, list := ports[size:], ""
	for _, port := range routes {
		list += fmt.Sprintf("nats://127.0.0.1:%d,", port)
	}
	nodes := make([]*natsServer, size)
	for i := range nodes {
		nodes[i] = &natsServer{options: server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: ports[i],
			JetStream: true, StoreDir: filepath.Join(t.TempDir(), fmt.Sprint(i)), NoSigs: true, NoLog: os.Getenv("NATS_LOG") == "",
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: routes[i]},
			Routes:  server.RoutesFromStr(list[:len(list)-1]),
		}}
		for _, f := range change {
			f(i, &nodes[i].options)
		}
		options := nodes[i].options
		s, err := server.NewServer(&options)
		if err != nil {
			t.Fatal(err)
		}
		if os.Getenv("NATS_LOG") != "" {
			s.ConfigureLogger()
		}
		nodes[i].Server = s
	}
	for _, n := range nodes {
		go n.Start()
		t.Cleanup(n.kill)
	}
	for _, n := range nodes {
		if !n.ReadyForConnections(patience) {
			t.Fatalf("NATS is not ready after %s", patience)
		}
	}
	waitFor(t, "a leader of the cluster", func() bool {
		for _, n := range nodes {
			if n.JetStreamIsLeader() {
				return len(n.JetStreamClusterPeers()) == size
			}
		}
		return false
	})
	return nodes
}

func urls(nodes ...*natsServer) []string {
	list := make([]string, len(nodes))
	for i, n := range nodes {
		list[i] = n.url()
	}
	return list
}

// waitFor waits for what cannot be told by an event.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	chattest.Within(t, patience, what, ok)
}

// client returns a connection of the test's own.
func client(t testing.TB, urls ...string) natsjs.JetStream {
	t.Helper()
	list := ""
	for _, u := range urls {
		list += u + ","
	}
	nc, err := nats.Connect(list[:len(list)-1], nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// open opens a store that is closed when the test ends.
func open(t testing.TB, module *jetstream.Module, hub store.Hub, limits store.Limits) store.Store {
	t.Helper()
	s, err := module.Open("test", hub, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var nextStream int

// newStream returns the name of a stream that no other test has.
func newStream() string {
	nextStream++
	return fmt.Sprint("TEST", nextStream)
}

func TestStore(t *testing.T) {
	nats := single(t)
	storetest.Run(t, func(t *testing.T, hub store.Hub, limits store.Limits) store.Store {
		return open(t, &jetstream.Module{URLs: urls(nats), Stream: newStream()}, hub, limits)
	})
}
