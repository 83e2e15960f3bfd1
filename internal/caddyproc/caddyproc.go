// Package caddyproc runs the test binary as a separate Caddy process, for tests
// that terminate or kill it.
package caddyproc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard" // the modules of a real Caddy

	"github.com/sse-chat/caddy-sse-chat/internal/freeport"
)

// asCaddy is the environment variable that makes the test binary run as Caddy.
const asCaddy = "SSE_CHAT_TEST_AS_CADDY"

// patience is how long a Caddy may take to start or to exit.
const patience = 30 * time.Second

// Main must be called by TestMain. It runs the tests, which get a home directory of
// their own, or Caddy in a process that this package started.
func Main(m *testing.M) {
	if os.Getenv(asCaddy) != "" {
		caddycmd.Main()
		return
	}
	home, err := os.MkdirTemp("", "sse-chat-test")
	if err != nil {
		panic(err)
	}
	for _, dir := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		os.Setenv(dir, home)
	}
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}

// FreePort is [freeport.Find] for a test.
func FreePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Process is a running Caddy. Its methods must be called by the test's goroutine.
type Process struct {
	// Pid is its process id.
	Pid    int
	log    string // path of its log
	cmd    *exec.Cmd
	exited chan error
}

// Start starts a Caddy that serves one site, and waits until it answers. It is
// killed when the test ends, if it is still running.
func Start(t testing.TB, url, block string) *Process {
	t.Helper()
	return StartAdmin(t, "off", url, block)
}

// StartAdmin is Start with an admin endpoint, in the form of Caddy's global option
// admin.
func StartAdmin(t testing.TB, admin, url, block string) *Process {
	t.Helper()
	dir := t.TempDir()
	file, log := filepath.Join(dir, "Caddyfile"), filepath.Join(dir, "log")
	config := fmt.Sprintf("{\n\tadmin %s\n\tpersist_config off\n\tskip_install_trust\n\tlocal_certs\n\tauto_https disable_redirects\n}\n\n%s {\n%s\n}\n", admin, url, block)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &Process{log: log, cmd: Command(t, dir, "run", "--adapter", "caddyfile", "--config", file), exited: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Pid = p.cmd.Process.Pid
	go func() {
		p.exited <- p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited // so that it does not write to the test's folder while that is removed
		if t.Failed() {
			content, _ := os.ReadFile(log)
			t.Logf("the log of Caddy:\n%s", content)
		}
	})
	p.waitUntilReady(t, url)
	return p
}

// Command returns a command of Caddy that keeps its own files in a folder.
func Command(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	return command(t, context.Background(), dir, args...)
}

func command(t testing.TB, ctx context.Context, dir string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	// one that starts beside another would find half of its certificate authority
	cmd.Env = append(os.Environ(), asCaddy+"=1", "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return cmd
}

// Log returns what the process has logged so far.
func (p *Process) Log(t testing.TB) string {
	t.Helper()
	content, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (p *Process) waitUntilReady(t testing.TB, url string) {
	t.Helper()
	//nolint:gosec // the certificate is the test's own
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Second}
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(10 * time.Millisecond) {
		if response, err := client.Get(url + "/history"); err == nil {
			response.Body.Close()
			return
		}
		select {
		case err := <-p.exited:
			t.Fatalf("Caddy has exited: %v", err)
		default:
		}
	}
	t.Fatalf("Caddy does not answer after %s", patience)
}

// Terminate sends SIGTERM, waits for the exit and returns how long it took.
func (p *Process) Terminate(t testing.TB) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.exited:
		if err != nil {
			t.Errorf("Caddy exited with %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("Caddy has not exited after %s", patience)
	}
	return time.Since(begin)
}

// Run runs one of Caddy's other commands until it ends, and returns its output.
func Run(t testing.TB, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := command(t, ctx, t.TempDir(), args...).CombinedOutput()
	return string(out), err
}

// Kill kills the process, as a crash would, and waits for its end.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
}
