package clustertest

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/pushtest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/push"
)

// pushRoots is the environment variable that names the certificate of the test's push service
// for a Caddy in a process of its own.
const pushRoots = "SSE_CHAT_TEST_PUSH_ROOTS"

// allowPushes lets this process push to the test's push service.
func allowPushes() {
	file := os.Getenv(pushRoots)
	if file == "" {
		return
	}
	der, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	push.Allow(roots, nil, netip.MustParseAddr("127.0.0.1"))
	hub.SettleIn(0)
}

func authorKey(person string) string {
	return "Authorization: Author-Key " + person + strings.Repeat("-", 22)
}

func say(t *testing.T, s *chattest.Site, room, text, person string) (author string) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"text": text})
	var m struct{ Author string }
	s.Do(t, http.MethodPost, "/update?room="+room, string(body), authorKey(person)).Decode(t, &m)
	return m.Author
}

// Of two nodes, the one that a message comes to pushes it, once, and to nobody who reads at the
// other, also in a crowd. When the other is killed, its readers are away.
func TestTwoNodesPush(t *testing.T) {
	service := pushtest.Start(t)
	file := filepath.Join(t.TempDir(), "roots")
	if err := os.WriteFile(file, service.DER, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(pushRoots, file)
	nats := single(t)
	storage := t.TempDir()
	var nodes []*caddytest.Process
	for range 2 {
		block := fmt.Sprintf("sse_chat {\npush mailto:a@example.com\nstore jetstream %s\n}", nats.url())
		nodes = append(nodes, caddytest.StartWith(t, "off", "\tstorage file_system "+storage+"\n", "http://"+chattest.FreeAddr(t), block))
	}
	a, b := nodes[0].Site, nodes[1].Site
	keys := make([]string, 2)
	for i, node := range nodes {
		var answer struct{ Key string }
		node.Do(t, http.MethodGet, "/push", "").Decode(t, &answer)
		keys[i] = answer.Key
	}
	if keys[0] != keys[1] || keys[0] == "" {
		t.Fatalf("the keys are %q", keys)
	}
	service.Key = keys[0]
	subscribe := func(node *chattest.Site, person string) *pushtest.Browser {
		browser := service.Subscribe()
		if a := node.Do(t, http.MethodPut, "/push?room=tea", browser.JSON(), authorKey(person)); a.Status != http.StatusOK {
			t.Fatalf("PUT: %d %s", a.Status, a.Body)
		}
		return browser
	}
	kim, sam := subscribe(a, "kim"), subscribe(b, "sam")
	time.Sleep(2 * time.Second) // after which all nodes know all subscriptions
	say(t, b, "tea", "at b", "lee")
	if p := kim.Wait(t, 1); p.Payload["text"] != "at b" {
		t.Errorf("pushed is %v", p.Payload)
	}
	sam.Wait(t, 1)

	// a crowd in one room of the node a
	readers := []*chattest.Stream{a.Stream(t, "/subscribe?room=crowd&author="+say(t, a, "other", "x", "kim"))}
	for i := range 150 {
		readers = append(readers, a.Stream(t, fmt.Sprintf("/subscribe?room=crowd&author=%011d", i)))
	}
	for _, reader := range readers {
		reader.Until(t, ":ok")
	}
	time.Sleep(10 * time.Second)
	begin := time.Now()
	say(t, b, "tea", "kim is at a", "lee")
	if p := sam.Wait(t, 2); p.At.Sub(begin) > 900*time.Millisecond {
		t.Errorf("with two nodes, a push comes after %s", p.At.Sub(begin))
	}
	time.Sleep(time.Second)
	if n := len(kim.Got()); n != 1 {
		t.Errorf("who reads at the other node is pushed %q", kim.Texts())
	}

	// the node a is killed: nobody is pushed who may be there, until it is forgotten
	time.Sleep(9 * time.Second)
	nodes[0].Kill(t)
	begin = time.Now()
	say(t, b, "tea", "a is dead", "lee")
	time.Sleep(15 * time.Second)
	if n := len(kim.Got()); n != 1 {
		t.Errorf("while a node does not answer, its readers are pushed %q", kim.Texts())
	}
	if p := kim.Wait(t, 2); p.At.Sub(begin) > 45*time.Second || p.Payload["text"] != "a is dead" {
		t.Errorf("after a node was killed, %v comes after %s", p.Payload, p.At.Sub(begin))
	}
	sam.Wait(t, 3)
}
