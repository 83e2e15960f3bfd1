package recipes

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/e2e/internal/chromium"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// Forms with htmx and Turbo post to the chat itself, and learn that it has the message.
func TestFormsOfLibraries(t *testing.T) {
	folder, site := t.TempDir(), freeURL(t)
	runCaddy(t, site, site+" {\n\tsse_chat\n\troot "+folder+"\n\tfile_server\n}\n")
	browser := chromium.Start(t)
	for _, test := range []struct{ name, file, head, form string }{
		{
			"htmx", "htmx.org/dist/htmx.min.js",
			`<script src="/htmx.js"></script>`,
			`hx-post="/update?room=htmx" hx-swap="none" hx-on::after-request="document.title = event.detail.successful"`,
		},
		{
			"htmx4", "htmx-4/dist/htmx.min.js",
			`<script src="/htmx4.js"></script>`,
			`hx-post="/update?room=htmx4" hx-swap="none" hx-on::after:request="document.title = event.detail.ctx.response.raw.ok"`,
		},
		{
			"turbo", "@hotwired/turbo/dist/turbo.es2017-esm.js",
			`<script type="module" src="/turbo.js"></script>
			<script>addEventListener('turbo:submit-end', (event) => { document.title = event.detail.success })</script>`,
			`method="post" action="/update?room=turbo"`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			library, err := os.ReadFile(filepath.Join("../node_modules", test.file))
			if err != nil {
				t.Fatalf("%v; run npm ci in e2e", err)
			}
			writeIn(t, folder, test.name+".js", string(library))
			writeIn(t, folder, test.name+".html", `<!doctype html><meta charset="utf-8">`+test.head+
				`<form `+test.form+`><textarea name="text"></textarea><input name="name" value="김"><button>Send</button></form>`)
			tab := open(t, browser, site+"/"+test.name+".html")
			tab.submit("a +%&=\n<b>")
			chattest.Eventually(t, "the end of the request", func() bool { return evaluate[string](tab, "document.title") != "" })
			if got := evaluate[string](tab, "document.title"); got != "true" {
				t.Errorf("its success is %s", got)
			}
			a := want(t, http.StatusOK, http.MethodGet, site+"/history?room="+test.name, "")
			if strings.Count(a.Body, `"id"`) != 1 || !strings.Contains(a.Body, `{"text":"a +%&=\n<b>",`) || !strings.Contains(a.Body, `"name":"김"`) {
				t.Errorf("the chat has %s", a.Body)
			}
		})
	}
}
