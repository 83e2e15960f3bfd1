package clustertest

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// scale is how much longer and larger the tests of a soak run are.
func scale() int {
	if os.Getenv("SOAK") != "" {
		return 4
	}
	return 1
}

func leaderOf(t *testing.T, nodes []*natsServer, stream string) *natsServer {
	t.Helper()
	var leader *natsServer
	waitFor(t, "a leader of the stream", func() bool {
		for _, n := range nodes {
			if n.Running() && n.JetStreamIsStreamLeader("$G", stream) {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// TestThreeNodesOnThreeServers has everything happen to a cluster that may
// happen, while readers jump between nodes.
func TestThreeNodesOnThreeServers(t *testing.T) {
	servers := cluster(t, 3)
	const stream = "SSE_CHAT_default"
	caddies := make([]*caddyNode, 3)
	for i := range caddies {
		caddies[i] = startCaddy(t, urls(servers...), "replicas 3")
	}
	c := newCrowd(t, func() []string {
		return []string{caddies[0].URL, caddies[1].URL, caddies[2].URL}
	}, "a", "b", "방")
	c.read(300)
	stop := c.talk(16, 100*time.Millisecond)
	pause := func() { time.Sleep(time.Duration(scale()) * time.Second) }
	pause()

	t.Log("killing the leader in mid-publish")
	leader := leaderOf(t, servers, stream)
	leader.kill()
	pause()
	leader.start(t)
	leaderOf(t, servers, stream)

	t.Log("restarting each server in turn")
	for _, s := range servers {
		waitForPeers(t, servers, stream)
		s.kill()
		pause()
		s.start(t)
	}
	waitForPeers(t, servers, stream)
	pause()

	t.Log("stopping all servers")
	for _, s := range servers {
		s.kill()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	status, _ := post(ctx, caddies[0].URL, "a", "while there is no server", "away")
	cancel()
	if status != 503 {
		t.Errorf("without servers a message is answered %d, want 503", status)
	}
	for _, s := range servers {
		s.start(t)
	}
	leaderOf(t, servers, stream)
	pause()
	stop()
	c.finish()
}

// waitForPeers waits until all replicas of a stream are current.
func waitForPeers(t *testing.T, servers []*natsServer, stream string) {
	t.Helper()
	js := client(t, urls(servers...)...)
	waitFor(t, "current replicas", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		info := s.CachedInfo().Cluster
		current := info.Leader != ""
		for _, r := range info.Replicas {
			current = current && r.Current && !r.Offline
		}
		return current && len(info.Replicas) == len(servers)-1
	})
}

// TestACaddyThatDies has a reader find its place at another node.
func TestACaddyThatDies(t *testing.T) {
	nats := single(t)
	a, b := startCaddy(t, urls(nats), ""), startCaddy(t, urls(nats), "")
	nodes := []string{a.URL, b.URL}
	c := newCrowd(t, func() []string { return nodes }, "r")
	c.read(10)
	stop := c.talk(4, 20*time.Millisecond)
	time.Sleep(time.Second)
	a.Kill(t)
	time.Sleep(time.Second)
	stop()
	c.finish()
}

// TestPresenceAndKicksHoldForAllNodes reads at one node what happens at
// another.
func TestPresenceAndKicksHoldForAllNodes(t *testing.T) {
	nats := single(t)
	a, b := startCaddy(t, urls(nats), ""), startCaddy(t, urls(nats), "")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	told := make(chan string, 100)
	go func() {
		_ = subscribe(ctx, a.URL, "events=1&name=watcher", "", func(e chattest.Event) bool {
			if e.Name == "presence" {
				told <- e.Data
			}
			return true
		})
	}()
	expect := func(what string) {
		t.Helper()
		for {
			select {
			case data := <-told:
				if strings.Contains(data, what) {
					return
				}
			case <-ctx.Done():
				t.Fatalf("presence never told %s", what)
			}
		}
	}
	expect(`"count":1,"names":["watcher"]`)
	ended := make(chan error, 1)
	go func() {
		ended <- subscribe(ctx, b.URL, "events=1&name=kim", "", func(chattest.Event) bool { return true })
	}()
	expect(`"count":2,"names":["kim","watcher"]`)

	// who is at the other node
	if status, body := a.ask(t, http.MethodDelete, "/sse_chat/hubs/default/subscribers?name=kim", ""); status != http.StatusNoContent {
		t.Fatalf("a kick is answered %d %s", status, body)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the stream of one who is kicked ends with %v", err)
		}
	case <-ctx.Done():
		t.Fatal("the stream of one who is kicked goes on")
	}
	expect(`"count":1,"names":["watcher"]`)
	waitFor(t, "a kicked name is kept out", func() bool {
		err := subscribe(ctx, b.URL, "name=kim", "", func(chattest.Event) bool { return true })
		return err != nil && strings.Contains(err.Error(), "204")
	})

	go func() {
		_ = subscribe(ctx, b.URL, "events=1&name=lee", "", func(chattest.Event) bool { return true })
	}()
	expect(`"count":2,"names":["lee","watcher"]`)
	begin := time.Now()
	b.Kill(t)
	expect(`"count":1,"names":["watcher"]`)
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("the readers of a node that died were present for %s", took)
	}
}
