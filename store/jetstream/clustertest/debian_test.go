package clustertest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// TestStoreOnInstalledServer runs the suite on the nats-server that is
// installed, which is 2.9 in Debian 12. Who has promised one sets NATS_SERVER.
func TestStoreOnInstalledServer(t *testing.T) {
	program := os.Getenv("NATS_SERVER")
	promised := program != ""
	if !promised {
		program = "nats-server"
	}
	path, err := exec.LookPath(program)
	if err != nil && !promised {
		t.Skip("no nats-server is installed")
	}
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	//nolint:gosec // what is installed
	server := exec.Command(path, "-js", "-sd", t.TempDir(), "-a", "127.0.0.1", "-p", strconv.Itoa(port))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	var version string
	waitFor(t, "the server", func() bool {
		nc, err := nats.Connect(url)
		if err != nil {
			return false
		}
		defer nc.Close()
		version = nc.ConnectedServerVersion()
		return true
	})
	t.Logf("nats-server %s", version)
	storetest.Run(t, func(t *testing.T, hub store.Hub, limits store.Limits) store.Store {
		return open(t, &jetstream.Module{URLs: []string{url}, Stream: newStream()}, hub, limits)
	})
}
