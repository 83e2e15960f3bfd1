//go:build unix

package ssechat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

func TestTooFewDescriptorsAreWarnedOf(t *testing.T) {
	for _, test := range []struct {
		limit          uint64
		maxSubscribers int
		want           string // part of it
	}{
		{0, 1000, ""}, // not known
		{1 << 20, 0, ""},
		{4096, 0, ""},
		{4095, 0, "the number of streams is not limited"},
		{1024, 800, ""},
		{1024, 0, "set max_subscribers to no more than 824"},
		{1024, 1000, "too few for max_subscribers 1000"},
		{20_000, 19_801, "set max_subscribers to no more than 19800"},
		{300, 1000, "set max_subscribers to no more than 150"},
	} {
		got := descriptorWarning(test.limit, test.maxSubscribers)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("a limit of %d with max_subscribers %d: %q, want %q", test.limit, test.maxSubscribers, got, test.want)
		}
		// whoever does as the warning says is not warned again
		var most int
		if _, after, ok := strings.Cut(got, "no more than "); ok {
			fmt.Sscan(after, &most)
			if test.limit > 2*spareDescriptors && descriptorWarning(test.limit, most) != "" {
				t.Errorf("a limit of %d with max_subscribers %d is still warned of", test.limit, most)
			}
		}
	}
}

func TestAProcessWithFewDescriptorsSaysSo(t *testing.T) {
	for _, test := range []struct{ limit, options, want string }{
		{"1000", "max_subscribers 1000", "too few for max_subscribers 1000"},
		{"1000", "", "the number of streams is not limited"},
		{"1000", "max_subscribers 700", ""},
	} {
		file := filepath.Join(t.TempDir(), "Caddyfile")
		if err := os.WriteFile(file, fmt.Appendf(nil, ":0 {\n\tsse_chat {\n\t\t%s\n\t}\n}\n", test.options), 0o600); err != nil {
			t.Fatal(err)
		}
		caddy := caddyproc.Command(t, t.TempDir(), "validate", "--adapter", "caddyfile", "--config", file)
		shell := exec.Command("sh", append([]string{"-c", `ulimit -n ` + test.limit + ` && exec "$0" "$@"`}, caddy.Args...)...)
		shell.Env = caddy.Env
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if said := strings.Contains(string(out), "files and connections open"); said != (test.want != "") || !strings.Contains(string(out), test.want) {
			t.Errorf("ulimit -n %s with %q: want %q, got %s", test.limit, test.options, test.want, out)
		}
	}
}
