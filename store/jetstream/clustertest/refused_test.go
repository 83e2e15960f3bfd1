package clustertest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// doorkeeper takes no connection until it is told to.
type doorkeeper struct {
	open  atomic.Bool
	asked atomic.Int64
}

// Check implements [server.Authentication].
func (d *doorkeeper) Check(server.ClientAuthentication) bool {
	d.asked.Add(1)
	return d.open.Load()
}

// A server that was down when a node started, and then refuses the password, is
// logged once with the reason, told to publishers and operators, and not asked
// all the time. When it takes the node, all is well.
func TestNATSComesAndRefusesThePassword(t *testing.T) {
	var door doorkeeper
	nats := &natsServer{options: server.Options{
		Host: "127.0.0.1", Port: freePort(t), JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		CustomClientAuthentication: &door,
	}}
	url, admin := "http://127.0.0.1:"+chattest.FreePort(t), "127.0.0.1:"+chattest.FreePort(t)
	place := strings.Replace(nats.url(), "nats://", "nats://kim:secret@", 1)
	caddy := caddytest.StartAdmin(t, admin, url, directive(100, []string{place}, ""))
	lines := func(what string) int { return strings.Count(caddy.Log(t), what) }
	waitFor(t, "the node knows that NATS is down", func() bool { return lines("the store cannot be written to") > 0 })

	nats.start(t)
	t.Cleanup(nats.kill)
	const reason = "Authorization Violation"
	waitFor(t, "the reason in the log", func() bool { return lines(reason) > 0 })
	begin, asked := time.Now(), door.asked.Load()
	waitFor(t, "more attempts", func() bool { return door.asked.Load() >= asked+2 })
	if took := time.Since(begin); took < 5*time.Second {
		t.Errorf("NATS was asked twice more within %s", took)
	}
	if n := lines(reason); n != 1 {
		t.Errorf("the reason is logged %d times, want once", n)
	}
	if n := lines("the store cannot be written to"); n != 1 {
		t.Errorf("that the store is down is logged %d times, want once", n)
	}
	if strings.Contains(caddy.Log(t), "secret@") {
		t.Error("the password is in the log")
	}
	var hubs []struct {
		Up bool `json:"store_up"`
	}
	response, err := http.Get("http://" + admin + "/sse_chat/hubs")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&hubs); err != nil || len(hubs) != 1 || hubs[0].Up {
		t.Errorf("operators are told %+v, %v", hubs, err)
	}
	refused, err := http.Post(url+"/update", "application/json", strings.NewReader(`{"text":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Body.Close()
	body, _ := io.ReadAll(refused.Body)
	if refused.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), reason) {
		t.Errorf("a publisher is answered %d %s", refused.StatusCode, body)
	}

	door.open.Store(true)
	waitFor(t, "a message is taken", func() bool {
		status, _ := post(context.Background(), url, "a", "x", "n")
		return status == http.StatusOK
	})
	waitFor(t, "that the store is back in the log", func() bool { return lines("the store can be written to again") == 1 })
}
