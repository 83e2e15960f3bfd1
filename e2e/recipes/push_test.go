package recipes

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// With a login one can subscribe to one's own rooms, and to nobody else's; the key survives a
// restart.
func TestPushBehindALogin(t *testing.T) {
	site := freeURL(t)
	storage := "{\n\tstorage file_system " + t.TempDir() + "\n}\n\n"
	caddyfile := storage + recipe(t, "push.Caddyfile", "chat.example.com", site)
	server := runCaddy(t, site, caddyfile)
	kim, lee := login("kim", "hiccup"), login("lee", "sneeze")
	want(t, http.StatusUnauthorized, http.MethodGet, site+"/push", "")
	key := want(t, http.StatusOK, http.MethodGet, site+"/push", "", kim).Body
	if len(key) != len(`{"key":""}`)+87 {
		t.Errorf("the key is %s", key)
	}
	const endpoint = "https://push.example/kim"
	subscription := fmt.Sprintf(`{"endpoint":%q,"expirationTime":null,"keys":{"p256dh":%q,"auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`, endpoint,
		"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
	want(t, http.StatusUnauthorized, http.MethodPut, site+"/push", subscription)
	want(t, http.StatusForbidden, http.MethodPut, site+"/push?room=inbox-kim", subscription, lee)
	want(t, http.StatusForbidden, http.MethodPut, site+"/push?room=staff&mentions=staff", subscription, kim)
	a := want(t, http.StatusOK, http.MethodPut, site+"/push?room=inbox-kim&room=lobby&mentions=lobby", subscription, kim)
	if a.Body != `{"rooms":["inbox-kim"],"mentions":["lobby"]}` {
		t.Errorf("the answer is %s", a.Body)
	}
	private := want(t, http.StatusBadRequest, http.MethodPut, site+"/push", strings.Replace(subscription, "push.example", "127.0.0.1", 1), kim)
	if !strings.Contains(private.ErrorText(t), "127.0.0.1") {
		t.Errorf("a private address is refused with %s", private.Body)
	}
	server.stop(t, syscall.SIGTERM)
	runCaddy(t, site, caddyfile)
	if again := want(t, http.StatusOK, http.MethodGet, site+"/push", "", lee).Body; again != key {
		t.Errorf("after a restart the key is %s, want %s", again, key)
	}
	want(t, http.StatusOK, http.MethodDelete, site+"/push", fmt.Sprintf(`{"endpoint":%q}`, endpoint), kim)
}
