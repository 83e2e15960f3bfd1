package e2e

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// inFirefox runs a story of firefox.mjs and the given functions at its steps. It
// fails the test unless the story succeeds after exactly the wanted steps.
func inFirefox(t *testing.T, url, story, want string, do map[string]func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "firefox.mjs", url, story)
	cmd.WaitDelay = 5 * time.Second // the browser may outlive its parent
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
		steps = append(steps, lines.Text())
		if part := do[lines.Text()]; part != nil {
			part()
		}
		_, _ = io.WriteString(in, "\n")
	}
	err = cmd.Wait()
	if got := strings.Join(steps, " "); err != nil || got != want {
		t.Errorf("its steps are %q, want %q; it ended with %v\n%s", got, want, err, stderr.String())
	}
}

// In Firefox the page sends, receives, and resumes across a restart and a reload,
// without script errors or policy violations.
func TestThePageInFirefox(t *testing.T) {
	port := chattest.FreePort(t)
	url := "http://localhost:" + port
	store := filepath.Join(t.TempDir(), "chat.db")
	start := func() *caddytest.Process {
		return caddytest.Start(t, url, siteBlock(t, "../public", "sse_chat {\n\tretry 500ms\n\tstore bolt "+store+"\n}"))
	}
	caddy := start()
	inFirefox(t, url, "resume", "said heard waiting well", map[string]func(){
		"said":    func() { post(t, url+"/update", "from a bot") },
		"heard":   func() { caddy.Terminate(t) },
		"waiting": func() { caddy = start() },
	})
}

// The menu of a message works there as well.
func TestTheMenuInFirefox(t *testing.T) {
	url := site(t)
	inFirefox(t, url, "menu", "well", nil)
	if got := stored(t, url); len(got) != 1 || got[0] != "two!" {
		t.Errorf("the server has %q", got)
	}
}

// Without site data, Firefox forbids different things than Chromium.
func TestThePageInFirefoxWithoutSiteData(t *testing.T) {
	inFirefox(t, site(t), "blocked", "well", nil)
}

// In Firefox too, the page reports an expired login, which affects only one room.
func TestALoginThatExpiresInFirefox(t *testing.T) {
	inFirefox(t, guarded(t, "query room=staff\n\t\tpath /update /subscribe /history", toLogin), "login", "well", nil)
}

// In Firefox too, texts look as they should.
func TestTextsInFirefox(t *testing.T) {
	url := site(t)
	postAll(t, url+"/update", message{Text: "a longer line\nשלום"}, message{Text: strings.Repeat("a\n", 30)}, message{Text: "```\n" + strings.Repeat("wide ", 100) + "\n```"})
	inFirefox(t, url, "text", "well", nil)
}

func TestTheDrawerInFirefox(t *testing.T) {
	inFirefox(t, site(t), "drawer", "well", nil)
}

func TestClosingFirefoxRightAfterEnter(t *testing.T) {
	for name, fault := range map[string]fault{"the answer is late": slowAnswers, "the message is late": slowPosts} {
		t.Run(name, func(t *testing.T) {
			url := site(t)
			network := newProxy(t, port(url))
			inFirefox(t, network.url(), "closed", "slow well", map[string]func(){"slow": func() { network.set(fault) }})
			if got := stored(t, url); len(got) != 1 {
				t.Errorf("the server has %q", got)
			}
		})
	}
}

func TestTypingAnywhereInFirefox(t *testing.T) {
	url := site(t)
	inFirefox(t, url, "anywhere", "selected well", map[string]func(){"selected": func() { postMany(t, url+"/update", 40) }})
}
