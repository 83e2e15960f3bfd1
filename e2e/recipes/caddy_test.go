// Package recipes runs everything that the documentation shows with the built
// binary: each recipe, the command, the bots, and contrib/.
package recipes

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

const root = "../.."

// binary returns the built Caddy.
func binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("CADDY")
	if path == "" {
		t.Skip("CADDY does not name a built binary; make e2e does")
	}
	return path
}

// recipe returns a file of docs/recipes, with replacements for the test's
// environment.
func recipe(t testing.TB, name string, replacements ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "docs/recipes", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(string(content), replacements[i]) {
			t.Fatalf("%s has no %q", name, replacements[i])
		}
	}
	return strings.NewReplacer(replacements...).Replace(string(content))
}

func freeURL(t testing.TB) string { return "http://localhost:" + chattest.FreePort(t) }

// process is a program that runs until the test ends.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	err    error // once exited
}

// start starts a program in the repository's folder.
func start(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	return startCmd(t, env, exec.Command(name, args...))
}

func startCmd(t testing.TB, env []string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, log: filepath.Join(t.TempDir(), "log"), exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.Dir == "" {
		cmd.Dir = root
	}
	// with its children, like the commands of a shell
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-p.exited
		if t.Failed() {
			t.Logf("the output of %s:\n%s", cmd, p.output())
		}
	})
	return p
}

func (p *process) output() string {
	content, _ := os.ReadFile(p.log)
	return string(content)
}

// stop sends a signal and returns how long the exit took.
func (p *process) stop(t testing.TB, signal os.Signal) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
		if p.err != nil {
			t.Errorf("it exits with %v", p.err)
		}
	case <-time.After(chattest.Patience):
		t.Fatalf("it has not exited after %s", chattest.Patience)
	}
	return time.Since(begin)
}

// server is a running Caddy.
type server struct {
	*process
	admin  string // of the admin API
	config string // file
}

// runCaddy runs a Caddyfile until the test ends, and waits until there is an
// answer from a URL.
func runCaddy(t testing.TB, url, caddyfile string, env ...string) *server {
	t.Helper()
	const options = "\tskip_install_trust\n\tauto_https disable_redirects\n\tpersist_config off\n"
	if rest, ok := strings.CutPrefix(caddyfile, "{\n"); ok {
		caddyfile = "{\n" + options + rest
	} else {
		caddyfile = "{\n" + options + "}\n\n" + caddyfile
	}
	s := &server{admin: "127.0.0.1:" + chattest.FreePort(t), config: filepath.Join(t.TempDir(), "Caddyfile")}
	if err := os.WriteFile(s.config, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	env = append(env, "CADDY_ADMIN="+s.admin)
	s.process = start(t, env, binary(t), "run", "--adapter", "caddyfile", "--config", s.config)
	s.waitFor(t, url)
	return s
}

// reload loads the same configuration again.
func (s *server) reload(t testing.TB) {
	t.Helper()
	cmd := exec.Command(binary(t), "reload", "--force", "--address", s.admin, "--adapter", "caddyfile", "--config", s.config)
	cmd.Dir = root
	cmd.Env = s.cmd.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// waitFor waits until there is any answer from a URL.
func (p *process) waitFor(t testing.TB, url string) {
	t.Helper()
	chattest.Eventually(t, "an answer from "+url, func() bool {
		select {
		case <-p.exited:
			t.Fatalf("it has exited: %v\n%s", p.err, p.output())
		default:
		}
		response, err := client.Get(url)
		if err != nil {
			return false
		}
		response.Body.Close()
		return true
	})
}

// client trusts all certificates, and opens a connection for each request, so
// that a reload cannot close one that is about to be used.
var client = &http.Client{
	Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificates are the tests' own
		DisableKeepAlives: true,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// do sends a request.
func do(t testing.TB, method, url, body string, header ...string) chattest.Answer {
	t.Helper()
	return doWith(t, client, method, url, body, header...)
}

func doWith(t testing.TB, client *http.Client, method, url, body string, header ...string) chattest.Answer {
	t.Helper()
	return chattest.At("", client).Do(t, method, url, body, header...)
}

// want fails unless a request gets that status.
func want(t testing.TB, status int, method, url, body string, header ...string) chattest.Answer {
	t.Helper()
	a := do(t, method, url, body, header...)
	if a.Status != status {
		t.Errorf("%s %s %s %v: %d %s, want %d", method, url, body, header, a.Status, a.Body, status)
	}
	return a
}

// login is the header of a user who gives a password.
func login(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// subscribe opens a stream and waits for its first line.
func subscribe(t testing.TB, url string, header ...string) *chattest.Stream {
	t.Helper()
	return subscribeWith(t, client, url, header...)
}

func subscribeWith(t testing.TB, client *http.Client, url string, header ...string) *chattest.Stream {
	t.Helper()
	s := chattest.At("", client).Stream(t, url, header...)
	if s.Response.StatusCode != http.StatusOK || s.Response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("GET %s: %s %v", url, s.Response.Status, s.Response.Header)
	}
	s.Line(t, ":ok")
	return s
}

// lastLine waits for a stream's end, and returns its last line.
func lastLine(t testing.TB, s *chattest.Stream) string {
	t.Helper()
	rest, _ := s.Rest(t)
	rest = strings.TrimSuffix(rest, "\n")
	return rest[strings.LastIndex(rest, "\n")+1:]
}

// from returns a client whose requests come from an address of this machine.
func from(ip string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return dialer.DialContext(ctx, "tcp", "127.0.0.1:"+port)
		},
		DisableKeepAlives: true,
	}}
}

func text(s string) string { return fmt.Sprintf(`{"text":%q}`, s) }
