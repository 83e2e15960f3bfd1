package clustertest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// routes are the wires between the servers of a cluster, by who dials whom.
type routes [][]*wire

// wiredCluster starts servers that reach each other over wires only.
func wiredCluster(t *testing.T, size int) ([]*natsServer, routes) {
	t.Helper()
	wires := make(routes, size)
	for i := range wires {
		wires[i] = make([]*wire, size)
		for to := range wires {
			if to != i {
				wires[i][to] = newWire(t, "")
			}
		}
	}
	return cluster(t, size, func(i int, o *server.Options) {
		var list []string
		for other := range wires {
			if other != i {
				wires[other][i].LeadTo(fmt.Sprint("127.0.0.1:", o.Cluster.Port))
				list = append(list, wires[i][other].url())
			}
		}
		o.Routes = server.RoutesFromStr(strings.Join(list, ","))
		o.Cluster.Advertise = "127.0.0.1:1" // nobody finds a way around the wires
	}), wires
}

// isolate cuts a server off from all others, or joins it with them again.
func (r routes) isolate(i int, cut bool) {
	for other := range r {
		if other == i {
			continue
		}
		for _, w := range []*wire{r[i][other], r[other][i]} {
			if cut {
				w.separate()
			} else {
				w.join()
			}
		}
	}
}

// TestServersThatAreCutOffFromEachOther has publishers repeat what they are not
// told of, at nodes on either side.
func TestServersThatAreCutOffFromEachOther(t *testing.T) {
	servers, wires := wiredCluster(t, 3)
	const stream = "SSE_CHAT_default"
	caddies := make([]*caddyNode, 3)
	nodes := make([]string, 3)
	for i := range caddies {
		caddies[i] = startCaddy(t, urls(servers[i]), "replicas 3") // and to no other
		nodes[i] = caddies[i].URL
	}
	waitForPeers(t, servers, stream)
	c := newCrowd(t, func() []string { return nodes }, "a", "b")
	c.read(60)
	stop := c.talk(8, 50*time.Millisecond)
	pause := func() { time.Sleep(time.Duration(scale()) * 3 * time.Second) }
	pause()

	leader := leaderOf(t, servers, stream)
	for _, isolated := range []int{indexOf(servers, leader), (indexOf(servers, leader) + 1) % 3} {
		t.Logf("cutting off server %d; server %d leads", isolated, indexOf(servers, leaderOf(t, servers, stream)))
		wires.isolate(isolated, true)
		majority := caddies[(isolated+1)%3]
		postUntilOK(t, majority.URL, "elsewhere", "with a majority", fmt.Sprint("majority", isolated))
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		if status, _ := post(ctx, nodes[isolated], "elsewhere", "alone", fmt.Sprint("alone", isolated)); status != http.StatusServiceUnavailable {
			t.Errorf("without a majority a message is answered %d, want 503", status)
		}
		cancel()
		pause()
		wires.isolate(isolated, false)
		waitForPeers(t, servers, stream)
		pause()
	}

	t.Log("cutting off all servers from each other")
	wires.isolate(0, true)
	wires[1][2].separate()
	wires[2][1].separate()
	for _, url := range nodes {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		if status, _ := post(ctx, url, "elsewhere", "nobody hears", "nobody"); status != http.StatusServiceUnavailable {
			t.Errorf("without a majority a message is answered %d, want 503", status)
		}
		cancel()
	}
	wires.isolate(0, false)
	wires[1][2].join()
	wires[2][1].join()
	waitForPeers(t, servers, stream)
	pause()
	stop()
	c.finish()
}

func indexOf(servers []*natsServer, s *natsServer) int {
	for i := range servers {
		if servers[i] == s {
			return i
		}
	}
	return -1
}
