//go:build unix

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestAProcessWithFewDescriptorsSaysSo(t *testing.T) {
	for _, test := range []struct{ limit, options, want string }{
		{"1000", "max_subscribers 1000", "too low for max_subscribers 1000"},
		{"1000", "", "the number of streams is not limited"},
		{"1000", "max_subscribers 700", ""},
	} {
		file := filepath.Join(t.TempDir(), "Caddyfile")
		if err := os.WriteFile(file, fmt.Appendf(nil, ":0 {\n\tsse_chat {\n\t\t%s\n\t}\n}\n", test.options), 0o600); err != nil {
			t.Fatal(err)
		}
		caddy := caddytest.Command(t, t.TempDir(), "validate", "--adapter", "caddyfile", "--config", file)
		shell := exec.Command("sh", append([]string{"-c", `ulimit -n ` + test.limit + ` && exec "$0" "$@"`}, caddy.Args...)...)
		shell.Env = caddy.Env
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if said := strings.Contains(string(out), "the limit of open files is"); said != (test.want != "") || !strings.Contains(string(out), test.want) {
			t.Errorf("ulimit -n %s with %q: want %q, got %s", test.limit, test.options, test.want, out)
		}
	}
}
