package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// validate runs `caddy validate` on a site.
func validate(t *testing.T, block string) (output string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	config := fmt.Sprintf("{\nadmin off\n}\nhttp://%s {\n%s\n}\n", chattest.FreeAddr(t), block)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return caddytest.Run(t, "validate", "--adapter", "caddyfile", "--config", file)
}

// A check of a configuration makes no file, because one that root has made
// would keep out the user who is to serve it. It changes nothing else either.
func TestValidateMakesAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chat.db")
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := validate(t, "sse_chat {\nstore bolt "+path+"\n}"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("there are %v, %v", entries, err)
	}
	if after, err := os.Stat(dir); err != nil || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the folder has become %v, %v", after, err)
	}

	p := caddytest.Start(t, "http://"+chattest.FreeAddr(t), "sse_chat {\nstore bolt "+path+"\n}")
	p.Post(t, "/update", "x")
	p.Terminate(t)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if before, err = os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if out, err := validate(t, "sse_chat {\nstore bolt "+path+"\n}"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if after, err := os.Stat(path); err != nil || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the file has become %v, %v", after, err)
	}
}

// The configuration of a service can be checked while it runs, and that does
// not disturb it.
func TestValidateBesideARunningCaddy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	p := caddytest.Start(t, "http://"+chattest.FreeAddr(t), "sse_chat {\nstore bolt "+path+"\n}")
	for range 5 {
		p.Post(t, "/update", "x")
		if out, err := validate(t, "sse_chat {\nstore bolt "+path+"\nretain 5\n}"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	p.Post(t, "/update", "x")
	if a := p.Do(t, http.MethodGet, "/history", ""); strings.Count(a.Body, `"text"`) != 6 {
		t.Errorf("the history is %s", a.Body)
	}
}

// What a start would refuse, a check refuses.
func TestValidateRefusesWhatAStartWould(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.db")
	if err := os.WriteFile(bad, []byte(strings.Repeat("no bolt file\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	two := "sse_chat /one/* {\nhub one\nstore bolt %[1]s\n}\nsse_chat /two/* {\nhub two\nstore bolt %[1]s\n}"
	used := filepath.Join(dir, "used.db")
	caddytest.Start(t, "http://"+chattest.FreeAddr(t), "sse_chat {\nstore bolt "+used+"\n}")
	for _, test := range []struct {
		name, block string
		want        []string
	}{
		{"not a bolt file", "sse_chat {\nstore bolt " + bad + "\n}", []string{bad, "not a bolt file"}},
		{"a folder", "sse_chat {\nstore bolt " + dir + "\n}", []string{dir, "directory"}},
		{"in a folder that is missing", "sse_chat {\nstore bolt " + dir + "/none/chat.db\n}", []string{dir + "/none/chat.db", "no such file"}},
		{"in a folder that is none", "sse_chat {\nstore bolt " + bad + "/chat.db\n}", []string{bad + "/chat.db", "not a directory"}},
		{"of two hubs", fmt.Sprintf(two, filepath.Join(dir, "new.db")), []string{"new.db", `hub \"one\"`, `hub \"two\"`}},
		{"of two hubs, in use", fmt.Sprintf(two, used), []string{"used.db", `hub \"one\"`, `hub \"two\"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := validate(t, test.block)
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("it says %s, which lacks %q", out, want)
				}
			}
		})
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("there are %v, %v", entries, err)
	}
}

// A hub that gets another name in a reload cannot have the file before the old
// one gives it back, and says what to do.
func TestAHubIsRenamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	block := func(hub string) string { return "sse_chat {\nhub " + hub + "\nstore bolt " + path + "\n}" }
	s := caddytest.ServeSite(t, block("old"))
	sent := s.Post(t, "/update", "x")
	err := caddytest.LoadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\n%s\n}\n", caddytest.GlobalOptions(), s.Addr, block("new")))
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{path, `"old"`, `"new"`, "stop Caddy and start it again"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %q, which lacks %q", err, want)
		}
	}
	if a := s.Do(t, http.MethodGet, "/history", ""); !strings.Contains(a.Body, sent.ID) {
		t.Errorf("afterwards the history is %d %s", a.Status, a.Body)
	}
}
