package tests

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/origin"
)

// originsThatAreSent are as browsers and apps send them.
var originsThatAreSent = []string{
	"https://example.com",
	"https://chat.example.com:8443",
	"http://example.com:443",
	"https://example.com.",
	"https://xn--bcher-kva.example",
	"https://my_host.example",
	"http://localhost",
	"http://localhost:5173",
	"https://192.0.2.1",
	"http://[::1]:3000",
	"https://[2001:db8::1]",
	"https://[::ffff:7f00:1]",
	"capacitor://localhost",
	"ionic://localhost",
	"tauri://localhost",
	"app://.",
	"app://obsidian.md",
	"chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
	"moz-extension://11111111-2222-3333-4444-555555555555",
	"safari-web-extension://E8BEA491-9B80-45DB-8B20-3E586473BD47",
	"vscode-webview://0a1b2c",
}

// Each origin that is listed may ask, read and write, with whatever header its
// libraries add; no other may.
func TestListedOriginsReadAndWrite(t *testing.T) {
	s := caddytest.Serve(t, "origins "+strings.Join(originsThatAreSent, " "))
	for _, origin := range originsThatAreSent {
		from, cross := "Origin: "+origin, "Sec-Fetch-Site: cross-site"
		for _, to := range endpoints {
			if to.method == http.MethodHead {
				continue
			}
			const asked = "authorization,baggage,content-type,datastar-request,hx-current-url,hx-request,hx-target,idempotency-key,last-event-id,traceparent,tracestate,turbo-frame,x-requested-with,x-turbo-request-id"
			a := s.Do(t, http.MethodOptions, to.path, "", from, cross, "Access-Control-Request-Method: "+to.method, "Access-Control-Request-Headers: "+asked)
			for field, want := range map[string]string{
				"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": to.method,
				"Access-Control-Allow-Headers": asked, "Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "600",
			} {
				if got := a.Header.Get(field); a.Status != http.StatusNoContent || got != want {
					t.Errorf("preflight of %s by %s: %d, %s %q, want %q", to.path, origin, a.Status, field, got, want)
				}
			}
		}
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, from, cross); a.Status != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("POST by %s: %d %v", origin, a.Status, a.Header)
		}
		if got := s.Stream(t, "/subscribe", from, cross).Response.Header.Get("Access-Control-Allow-Origin"); got != origin {
			t.Errorf("a stream may be read by %q, want %q", got, origin)
		}
	}
	for _, origin := range []string{"https://example.com:444", "https://other.example", "http://chat.example.com:8443", "capacitor://other", "app://localhost", "null", "moz-extension://other"} {
		from := "Origin: " + origin
		for _, to := range endpoints {
			a := s.Do(t, http.MethodOptions, to.path, "", from, "Access-Control-Request-Method: "+to.method, "Access-Control-Request-Headers: x-any")
			for field := range a.Header {
				if strings.HasPrefix(field, "Access-Control-") {
					t.Errorf("preflight of %s by %s: %s %q", to.path, origin, field, a.Header.Get(field))
				}
			}
		}
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, from); a.Status != http.StatusForbidden || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("POST by %s: %d %v", origin, a.Status, a.Header)
		}
	}
	// only what the endpoints can do
	for _, method := range []string{http.MethodPut, "PROPFIND"} {
		a := s.Do(t, http.MethodOptions, "/update", "", "Origin: https://example.com", "Access-Control-Request-Method: "+method)
		if got := a.Header.Get("Access-Control-Allow-Methods"); got != "" {
			t.Errorf("a preflight allows %q", got)
		}
	}
}

// An origin that nobody sends is an error that says what to write.
func TestOriginsThatNobodySends(t *testing.T) {
	const slash, lower, port = "no path, not even a slash at the end", "in lower case", "leave the default port out"
	for sent, want := range map[string]struct{ why, write string }{
		"https://example.com:443":         {port, "https://example.com"},
		"http://example.com:80":           {port, "http://example.com"},
		"https://example.com:0443":        {port, "https://example.com"},
		"https://example.com:":            {port, "https://example.com"},
		"https://[2001:db8::1]:443":       {port, "https://[2001:db8::1]"},
		"https://example.com/":            {slash, "https://example.com"},
		"https://example.com:443/":        {slash, "https://example.com"},
		"https://example.com/chat":        {slash, "https://example.com"},
		"https://example.com?x":           {slash, "https://example.com"},
		`https://example.com\x`:           {slash, "https://example.com"},
		"capacitor://localhost/":          {slash, "capacitor://localhost"},
		"HTTPS://example.com":             {lower, "https://example.com"},
		"https://Example.COM":             {lower, "https://example.com"},
		"Capacitor://localhost":           {lower, "capacitor://localhost"},
		"https://[2001:DB8::A]":           {lower, "https://[2001:db8::a]"},
		"https://example.com:08443":       {"send the port as 8443", "https://example.com:8443"},
		"https://bücher.example":          {"send the host as xn--bcher-kva.example", "https://xn--bcher-kva.example"},
		"https://BÜCHER.example:8443":     {"send the host as xn--bcher-kva.example", "https://xn--bcher-kva.example:8443"},
		"https://채팅.한국":                   {"send the host as xn--", "https://xn--ou6bo7j.xn--3e0b707e"},
		"https://[2001:db8:0:0:0:0:0:1]":  {"send the host as [2001:db8::1]", "https://[2001:db8::1]"},
		"http://[::ffff:127.0.0.1]":       {"send the host as [::ffff:7f00:1]", "http://[::ffff:7f00:1]"},
		"https://[0:0:0:0:0:0:0:1]:8443":  {"send the host as [::1]", "https://[::1]:8443"},
		"null":                            {"sandboxed pages", ""},
		"*":                               {"wildcards are not supported", ""},
		"https://*.example.com":           {"wildcards are not supported", ""},
		"example.com":                     {"begins with a scheme", ""},
		"localhost:5173":                  {"begins with a scheme", ""},
		"//example.com":                   {"begins with a scheme", ""},
		"1http://example.com":             {`"1http" is not a scheme`, ""},
		"file:///srv/index.html":          {"send null for pages of file", ""},
		"data://x":                        {"send null for pages of data", ""},
		"wss://example.com":               {"the address of a socket", ""},
		"https://kim@example.com":         {"names no user", ""},
		"https://":                        {"has a host", ""},
		"https://:8443":                   {"has a host", ""},
		"app://":                          {"has a host", ""},
		"https://example.com:port":        {`"port" is not a port`, ""},
		"https://example.com:65536":       {`"65536" is not a port`, ""},
		"https://exa mple.com":            {"not a host's name", ""},
		"https://ex%61mple.com":           {"not a host's name", ""},
		"https://xn--a":                   {"not a host's name", ""},
		"https://127.1":                   {"not an address as browsers send it, like 192.0.2.1", ""},
		"https://0x7f.0.0.1":              {"not an address as browsers send it, like 192.0.2.1", ""},
		"https://127.0.0.01":              {"not an address as browsers send it, like 192.0.2.1", ""},
		"https://2001:db8::1":             {"not a host's name", ""},
		"https://[fe80::1%25eth0]":        {"not an address as browsers send it, like [2001:db8::1]", ""},
		"https://[127.0.0.1]":             {"not an address as browsers send it, like [2001:db8::1]", ""},
		"https://[::1":                    {"not an address as browsers send it, like [2001:db8::1]", ""},
		"capacitor://bücher":              {"not a host as apps send it", ""},
		"chrome-extension://a b":          {"not a host as apps send it", ""},
		"chrome-extension://a:b/index.js": {`"b" is not a port`, ""},
	} {
		_, err := caddytest.Adapt("localhost {\n\tsse_chat {\norigins https://a.example `" + sent + "`\n\t}\n}\n")
		if err == nil {
			t.Errorf("%s is taken", sent)
			continue
		}
		for _, part := range []string{"origins: ", want.why, "Caddyfile:3"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", sent, err, part)
			}
		}
		write, told := "", regexp.MustCompile(`: write (\S+), at `).FindStringSubmatch(err.Error())
		if told != nil {
			write = told[1]
		}
		if write != want.write {
			t.Errorf("%s: %v, want to be told of %s", sent, err, want.write)
		}
		if write != "" && origin.Check(write) != nil {
			t.Errorf("%s: what is to be written is wrong too: %v", sent, origin.Check(write))
		}
	}
}
