package recipes

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// A backend masks words and closes a room, and nothing passes while it is away.
func TestABackendDecides(t *testing.T) {
	site, port := freeURL(t), chattest.FreePort(t)
	runCaddy(t, site, recipe(t, "approve.Caddyfile", "chat.example.com", site, "localhost:9093", "localhost:"+port))
	if a := want(t, http.StatusServiceUnavailable, http.MethodPost, site+"/update", text("early")); a.Header.Get("Retry-After") == "" {
		t.Errorf("before the backend is there: %v %s", a.Header, a.Body)
	}
	backend := start(t, []string{"PORT=" + port}, program(t, "node"), "docs/recipes/approve.mjs")
	backend.waitFor(t, "http://localhost:"+port)
	const key = "Authorization: Author-Key 0123456789abcdefghijklm"
	a := want(t, http.StatusOK, http.MethodPost, site+"/update?room=tea", text("what the heck, 차"), key)
	if !strings.HasPrefix(a.Body, `{"text":"what the ***, 차"`) {
		t.Errorf("the message is %s", a.Body)
	}
	_, id, _ := strings.Cut(a.Body, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	a = want(t, http.StatusOK, http.MethodPatch, site+"/update?room=tea&id="+id, `{"append":" darn"}`, key)
	if !strings.HasPrefix(a.Body, `{"text":"what the ***, 차***"`) && !strings.HasPrefix(a.Body, `{"text":"what the ***, 차 ***"`) {
		t.Errorf("after an append it is %s", a.Body)
	}
	a = want(t, http.StatusOK, http.MethodPost, site+"/update", text("Heck")+"\n"+text("fine")+"\n", "Content-Type: application/x-ndjson")
	if !strings.Contains(a.Body, `{"text":"***"`) || !strings.Contains(a.Body, `{"text":"fine"`) {
		t.Errorf("a batch becomes %s", a.Body)
	}
	want(t, http.StatusInternalServerError, http.MethodPost, "http://localhost:"+port, "not JSON")
	a = want(t, http.StatusUnprocessableEntity, http.MethodPost, site+"/update?room=archive", text("x"))
	if a.Body != `{"error":"nobody can write in this room any more"}` {
		t.Errorf("the refusal is %s", a.Body)
	}
	_ = backend.cmd.Process.Signal(os.Interrupt)
	<-backend.exited
	want(t, http.StatusServiceUnavailable, http.MethodPost, site+"/update", text("late"))
	if a := want(t, http.StatusOK, http.MethodGet, site+"/history", ""); strings.Contains(a.Body, "early") || strings.Contains(a.Body, "late") {
		t.Errorf("something passed unasked: %s", a.Body)
	}
}
