package e2e

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

// In Firefox the page sends, hears others, resumes over a restart and a reload,
// and neither its scripts nor its policy have anything to complain of.
func TestThePageInFirefox(t *testing.T) {
	port := caddyproc.FreePort(t)
	url := "http://localhost:" + port
	store := filepath.Join(t.TempDir(), "chat.db")
	start := func() *caddyproc.Process {
		return caddyproc.Start(t, url, siteBlock(t, "../public", "sse_chat {\n\tretry 500ms\n\tstore bolt "+store+"\n}"))
	}
	caddy := start()
	cmd := exec.CommandContext(t.Context(), "node", "firefox.mjs", url)
	cmd.WaitDelay = 5 * time.Second // the browser may outlive what has started it
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		step := lines.Text()
		steps = append(steps, step)
		switch step {
		case "said":
			post(t, url+"/update", "from a bot")
		case "heard":
			caddy.Terminate(t)
		case "waiting":
			caddy = start()
		}
		_, _ = io.WriteString(in, "\n")
	}
	err = cmd.Wait()
	if got, want := strings.Join(steps, " "), "said heard waiting well"; err != nil || got != want {
		t.Errorf("its steps are %q, want %q; it ended with %v\n%s", got, want, err, stderr.String())
	}
}
