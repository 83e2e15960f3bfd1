package recipes

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// A backend finds what is in the chat, also what was written while it was away, and not what
// was taken back.
func TestABackendIndexes(t *testing.T) {
	const secret = "WEBHOOK_SECRET=a secret of the test"
	t.Setenv("WEBHOOK_SECRET", "a secret of the test")
	site, port := freeURL(t), chattest.FreePort(t)
	runCaddy(t, site, recipe(t, "webhook.Caddyfile", "chat.example.com", site, "localhost:9094", "localhost:"+port,
		"chat.db", filepath.Join(t.TempDir(), "chat.db")))
	const key = "Authorization: Author-Key 0123456789abcdefghijklm"
	want(t, http.StatusOK, http.MethodPost, site+"/update?room=tea", text("green tea"), key)
	backend := start(t, []string{"PORT=" + port, secret}, program(t, "node"), "docs/recipes/index.mjs")
	backend.waitFor(t, "http://localhost:"+port)
	found := func(words string, texts ...string) {
		t.Helper()
		var last string
		chattest.Eventually(t, "found for "+words, func() bool {
			last = want(t, http.StatusOK, http.MethodGet, "http://localhost:"+port+"/?q="+words, "").Body
			var messages []struct{ Text, Room string }
			if err := json.Unmarshal([]byte(last), &messages); err != nil {
				t.Fatalf("%v in %s", err, last)
			}
			var got []string
			for _, m := range messages {
				got = append(got, m.Room+": "+m.Text)
			}
			return slices.Equal(got, texts)
		})
	}
	found("tea", "tea: green tea") // from before it was there
	a := want(t, http.StatusOK, http.MethodPost, site+"/update", text("black tea"), key)
	found("tea", "tea: green tea", "lobby: black tea")
	_, id, _ := strings.Cut(a.Body, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	want(t, http.StatusOK, http.MethodPatch, site+"/update?id="+id, `{"text":"coffee"}`, key)
	found("tea", "tea: green tea")
	found("coffee", "lobby: coffee")
	want(t, http.StatusOK, http.MethodDelete, site+"/update?id="+id, "", key)
	found("coffee")
	want(t, http.StatusForbidden, http.MethodPost, "http://localhost:"+port, "[]")
	want(t, http.StatusForbidden, http.MethodPost, "http://localhost:"+port, "[]", "Sse-Chat-Signature: t=1,v1="+strings.Repeat("0", 64))

	// a room is forgotten up to an id
	var items []string
	for _, id := range []string{"7-2", "7-9", "7-10", "7-11", "10"} {
		items = append(items, fmt.Sprintf(`{"type":"message","room":"old","message":{"id":%q,"text":"old %s"}}`, id, id))
	}
	for _, body := range []string{"[" + strings.Join(items, ",") + "]", `[{"type":"delete","room":"old","through":"7-10"}]`} {
		now := fmt.Sprint(time.Now().Unix())
		mac := hmac.New(sha256.New, []byte("a secret of the test"))
		_, _ = mac.Write([]byte(now + "." + body))
		want(t, http.StatusNoContent, http.MethodPost, "http://localhost:"+port, body, fmt.Sprintf("Sse-Chat-Signature: t=%s,v1=%x", now, mac.Sum(nil)))
	}
	found("old", "old: old 7-11", "old: old 10")

	// it stops and comes back, and knows nothing of before
	_ = backend.cmd.Process.Signal(os.Interrupt)
	<-backend.exited
	want(t, http.StatusOK, http.MethodPost, site+"/update", text("white tea"), key)
	start(t, []string{"PORT=" + port, secret}, program(t, "node"), "docs/recipes/index.mjs").waitFor(t, "http://localhost:"+port)
	found("tea", "lobby: white tea")
}
