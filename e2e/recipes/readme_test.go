package recipes

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/e2e/internal/chromium"
)

// section returns the code of one kind that a section of the README shows.
func section(t *testing.T, title, language string) string {
	t.Helper()
	readme, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(readme), "\n## "+title+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	code := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(text)
	if !ok || code == nil {
		t.Fatalf("the README shows no %s in %q", language, title)
	}
	return code[1]
}

// What the README begins with works as it stands there, in a browser.
func TestTheReadmeIsTrue(t *testing.T) {
	browser := chromium.Start(t)
	t.Run("a chat on your page", func(t *testing.T) {
		folder, site := t.TempDir(), freeURL(t)
		writeIn(t, folder, "index.html", "<!doctype html><title>Home</title>")
		caddyfile := section(t, "A chat on your page", "caddyfile")
		runCaddy(t, site, strings.NewReplacer("example.com", site, "/srv/www", folder).Replace(caddyfile))
		p := open(t, browser, site+"/")
		wait(p, "document.title", "Home")
		p = open(t, browser, site+"/chat?room=tea")
		wait(p, "location.pathname + location.search", "/chat/?room=tea")
		want(t, http.StatusOK, http.MethodPost, site+"/chat/update?room=tea", text("from a bot"))
		wait(p, "document.body.innerText.includes('from a bot')", true)
	})
	t.Run("news from your backend", func(t *testing.T) {
		folder, site, inside := t.TempDir(), freeURL(t), freeURL(t)
		writeIn(t, folder, "index.html", "<!doctype html><meta charset=utf-8>"+section(t, "News from your backend", "html"))
		caddyfile := section(t, "News from your backend", "caddyfile")
		runCaddy(t, site, strings.NewReplacer("example.com", site, "/srv/www", folder, "http://localhost:3001", inside).Replace(caddyfile))
		publish := strings.Replace(section(t, "News from your backend", "sh"), "http://localhost:3001", inside, 1)
		run := func(command string) {
			t.Helper()
			if out, err := exec.Command("sh", "-ec", strings.Replace(command, "curl ", "curl -sSf ", 1)).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		}
		run(publish)
		p := open(t, browser, site)
		wait(p, "document.querySelector('#orders').innerText", "Order 17 is paid")
		run(strings.Replace(publish, "paid", "shipped", 1))
		wait(p, "document.querySelector('#orders').innerText", "Order 17 is shipped\nOrder 17 is paid")
		if a := do(t, http.MethodPost, site+"/update?room=orders", text("from outside")); a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed {
			t.Errorf("visitors can publish: %d %s", a.Status, a.Body)
		}
	})
}
