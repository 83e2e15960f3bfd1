package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestConfiguredName(t *testing.T) {
	s := caddytest.Serve(t, "name {http.request.header.X-User}")
	m := s.Do(t, http.MethodPost, "/update", `{"text":"x","name":"forged\u0000"}`, "X-User: kim")
	if !strings.Contains(m.Body, `"name":"kim"`) || strings.Contains(m.Body, "forged") {
		t.Errorf("%d %s", m.Status, m.Body)
	}
	for _, user := range []string{"", " "} {
		if m = s.Do(t, http.MethodPost, "/update", `{"text":"x","name":"forged"}`, "X-User: "+user); strings.Contains(m.Body, "name") {
			t.Errorf("without a user: %s", m.Body)
		}
	}
	for user, want := range map[string][]string{"lee": {"lee"}, "": nil} {
		c := s.Stream(t, "/subscribe?events=1&name=forged&room=r"+user, "X-User: "+user)
		e := c.Next(t)
		for e.Name != "presence" {
			e = c.Next(t)
		}
		if p := e.Presence(t); !slices.Equal(p.Names, want) {
			t.Errorf("of %q present is %q", user, p.Names)
		}
	}
}

// A login that cannot be a name is made one, everywhere the same, and the
// operator hears of the first of each kind.
func TestLoginsThatCannotBeNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	s := caddytest.ServeSites(t, "log warnings {\noutput file "+file+"\nlevel WARN\ninclude http.handlers.sse_chat\n}\n",
		"sse_chat {\nname {http.request.header.X-User}\n}").Sites[0]
	const dn = "CN=Anna Maria Katharina M\xfcller,OU=Forschung und Entwicklung,O=Beispiel GmbH"
	nameOf := func(user string) string {
		t.Helper()
		a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, "X-User: "+user)
		var m chattest.Message
		if err := json.Unmarshal([]byte(a.Body), &m); err != nil || a.Status != http.StatusOK {
			t.Fatalf("%q: %d %s", user, a.Status, a.Body)
		}
		return m.Name
	}
	for user, want := range map[string]string{
		"kim":          "kim",
		"Ren\xe9":      "René",
		"René":         "René",
		dn:             "CN=Anna Maria Katharina Müller,OU=Forschung und Ent~",
		dn + "2":       "CN=Anna Maria Katharina Müller,OU=Forschung und Ent~",
		"علی\u200cرضا": "علیرضا~",
		"kim\u200b":    "kim~",
	} {
		if got := nameOf(user); !strings.HasPrefix(got, want) || len(got) > 64 {
			t.Errorf("%q is called %q, want %q…", user, got, want)
		}
	}
	name := nameOf(dn)
	if again := nameOf(dn); again != name {
		t.Errorf("one login has two names, %q and %q", name, again)
	}
	if other := nameOf(dn + "2"); other == name {
		t.Errorf("two logins have one name, %q", name)
	}

	c := s.Stream(t, "/subscribe?events=1", "X-User: "+dn)
	e := c.Next(t)
	for e.Name != "presence" {
		e = c.Next(t)
	}
	if p := e.Presence(t); !slices.Equal(p.Names, []string{name}) {
		t.Errorf("present is %q, want %q", p.Names, name)
	}

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]int{
		"read as Latin-1":                            1,
		", so it was cut":                            1,
		"more than printable text":                   1,
		`"option":"name {http.request.header.X-User`: 3,
	} {
		if n := bytes.Count(content, []byte(what)); n != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", what, n, want, content)
		}
	}
	for _, want := range []string{`"value":"\"Ren\\xe9\""`, `"name":"René"`, `"rule":"name`} {
		if !bytes.Contains(content, []byte(want)) {
			t.Errorf("%s is not logged:\n%s", want, content)
		}
	}
}

// A name that the configuration gives all is checked when it is loaded.
func TestAFixedNameIsChecked(t *testing.T) {
	for _, name := range []string{"kim\u200b", "kim\u3164", strings.Repeat("x", 65)} {
		_, err := caddytest.Adapt(fmt.Sprintf(":80 {\nsse_chat {\nname \"%s\"\n}\n}", name))
		if err == nil || !strings.Contains(err.Error(), "Caddyfile:3") {
			t.Errorf("%q: %v", name, err)
		}
	}
	s := caddytest.Serve(t, "name bot~abcdefghijk")
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`); !strings.Contains(a.Body, `"name":"bot~abcdefghijk"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
