package ssechat

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// The command's site is that of the repository's Caddyfile but for what the
// command changes.
func TestTheCommandsSite(t *testing.T) {
	adapted, err := caddytest.Adapt(string(repositoryCaddyfile))
	if err != nil {
		t.Fatal(err)
	}
	handlers := func(config []byte) (names []string, byName map[string]map[string]any) {
		var v any
		if err := json.Unmarshal(config, &v); err != nil {
			t.Fatal(err)
		}
		byName = make(map[string]map[string]any)
		eachHandler(v, func(handler map[string]any) {
			name := handler["handler"].(string)
			names = append(names, name)
			byName[name] = handler
		})
		return names, byName
	}
	names, _ := handlers(adapted)
	site := &commandSite{hub: "team", file: "chat.db", domain: "chat.example.com", accessLog: true}
	config, err := site.config()
	if err != nil {
		t.Fatal(err)
	}
	got, byName := handlers(config.AppsRaw["http"])
	if got := strings.Join(got, " "); got != "subroute "+strings.Join(names, " ") {
		t.Errorf("the handlers are %s, want those of the Caddyfile: %v", got, names)
	}
	chat, _ := json.Marshal(byName["sse_chat"])
	if want := `{"handler":"sse_chat","hub":"team","store":{"file":"chat.db","store":"bolt"}}`; string(chat) != want {
		t.Errorf("the chat is %s, want %s", chat, want)
	}
	files, _ := json.Marshal(byName["file_server"])
	if want := `{"fs":"sse_chat","handler":"file_server","root":"."}`; string(files) != want {
		t.Errorf("the page is %s, want %s", files, want)
	}
	var app caddyhttp.App
	if err := json.Unmarshal(config.AppsRaw["http"], &app); err != nil {
		t.Fatal(err)
	}
	if time.Duration(app.GracePeriod) != 10*time.Second {
		t.Errorf("the grace period is %s", time.Duration(app.GracePeriod))
	}
	for _, server := range app.Servers {
		if server.Listen[0] != ":443" || server.Logs == nil || string(server.Routes[0].MatcherSetsRaw[0]["host"]) != `["chat.example.com"]` {
			t.Errorf("the server listens on %v, logs %v, and serves %s", server.Listen, server.Logs, server.Routes[0].MatcherSetsRaw)
		}
	}
	if site.url() != "https://chat.example.com" {
		t.Errorf("it is at %s", site.url())
	}
	// memory, because a domain and a file need more than a test has
	site = &commandSite{hub: "team", domain: "chat.example.com"}
	if config, err = site.config(); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(config); err != nil {
		t.Errorf("Caddy refuses it: %v", err)
	}
}

func TestTheCommandsAddress(t *testing.T) {
	for _, test := range []struct{ listen, domain, url, err string }{
		{"", "", "http://localhost:3000", ""},
		{":8000", "", "http://localhost:8000", ""},
		{"0.0.0.0:80", "", "http://localhost", ""},
		{"[::1]:3000", "", "http://[::1]:3000", ""},
		{":8443", "chat.example.com", "https://chat.example.com:8443", ""},
		{"unix//run/chat.sock", "", "unix//run/chat.sock", ""},
		{"3000", "", "", "--listen: 3000 names no port"},
		{":x", "", "", "--listen: "},
		{":1-3", "", "", "names no port"},
		{"unix//run/chat.sock|0660", "", "unix//run/chat.sock|0660", ""},
		{"", "https://chat.example.com", "", `--domain: "https://chat.example.com" is not a domain name`},
	} {
		site := &commandSite{listen: test.listen, domain: test.domain, hub: "default"}
		_, err := site.config()
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q: %v, want %q", test.listen, err, test.err)
			}
			continue
		}
		if err != nil || site.url() != test.url {
			t.Errorf("%q, %q: at %s, %v, want %s", test.listen, test.domain, site.url(), err, test.url)
		}
	}
}
