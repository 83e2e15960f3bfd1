package caddytest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// Process is a Caddy in a separate process, and the way to its site. Its methods must
// be called by the test's goroutine.
type Process struct {
	*chattest.Site
	// Admin is the way to its admin API; nil if it has none.
	Admin *chattest.Site
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

// StartAdmin is Start with an admin API at an address, "off" is none.
func StartAdmin(t testing.TB, admin, url, block string) *Process {
	t.Helper()
	return StartWith(t, admin, "", url, block)
}

// StartWith is StartAdmin with more global options.
func StartWith(t testing.TB, admin, global, url, block string) *Process {
	t.Helper()
	dir := t.TempDir()
	file, log := filepath.Join(dir, "Caddyfile"), filepath.Join(dir, "log")
	config := fmt.Sprintf("{\n\tadmin %s\n\tpersist_config off\n\tskip_install_trust\n\tlocal_certs\n\tauto_https disable_redirects\n%s}\n\n%s {\n%s\n}\n", admin, global, url, block)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	transport := &http.Transport{TLSClientConfig: chattest.InsecureTLS(), ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	p := &Process{
		Site: chattest.At(url, &http.Client{Transport: transport}),
		log:  log, cmd: Command(t, dir, "run", "--adapter", "caddyfile", "--config", file), exited: make(chan error, 1),
	}
	if admin != "off" {
		p.Admin = chattest.At("http://"+admin, unkept())
	}
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
	p.waitUntilReady(t)
	return p
}

// Load has the process serve other sites, in place of what there was. It must have
// an admin API.
func (p *Process) Load(t testing.TB, sites string) {
	t.Helper()
	config, err := Adapt(fmt.Sprintf("{\nadmin %s\npersist_config off\n}\n%s", p.Admin.Addr, sites))
	if err != nil {
		t.Fatal(err)
	}
	if a := p.Admin.Do(t, http.MethodPost, "/load", string(config), "Content-Type: application/json"); a.Status != http.StatusOK {
		t.Fatalf("the reload is answered %d %s", a.Status, a.Body)
	}
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
	cmd.Env = append(os.Environ(), AsCaddy+"=1", "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
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

func (p *Process) waitUntilReady(t testing.TB) {
	t.Helper()
	client := &http.Client{Transport: p.Client.Transport, Timeout: time.Second}
	chattest.Eventually(t, "Caddy answers", func() bool {
		select {
		case err := <-p.exited:
			t.Fatalf("Caddy has exited: %v", err)
		default:
		}
		response, err := client.Get(p.URL + "/history")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
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
	case <-time.After(chattest.Patience):
		t.Fatalf("Caddy has not exited after %s", chattest.Patience)
	}
	return time.Since(begin)
}

// Run runs one of Caddy's other commands until it ends, and returns its output.
func Run(t testing.TB, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), chattest.Patience)
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
