// Package recipes runs everything that the documentation shows with the built
// binary: each recipe, the command, the bots, and contrib/.
package recipes

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

const (
	// patience is how long a test waits for what must happen.
	patience = 20 * time.Second
	root     = "../.."
)

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

func freeURL(t testing.TB) string { return "http://localhost:" + caddyproc.FreePort(t) }

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
	case <-time.After(patience):
		t.Fatalf("it has not exited after %s", patience)
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
	s := &server{admin: "127.0.0.1:" + caddyproc.FreePort(t), config: filepath.Join(t.TempDir(), "Caddyfile")}
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
	eventually(t, "an answer from "+url, func() bool {
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

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
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

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request. Header fields are "Name: value".
func do(t testing.TB, method, url, body string, header ...string) answer {
	t.Helper()
	return doWith(t, client, method, url, body, header...)
}

func doWith(t testing.TB, client *http.Client, method, url, body string, header ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	response := send(t, ctx, client, method, url, body, header...)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{response.StatusCode, response.Header, string(content)}
}

func send(t testing.TB, ctx context.Context, client *http.Client, method, url, body string, header ...string) *http.Response {
	t.Helper()
	for begin := time.Now(); ; {
		var content io.Reader
		if body != "" {
			content = strings.NewReader(body)
		}
		request, err := http.NewRequestWithContext(ctx, method, url, content)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range header {
			name, value, _ := strings.Cut(field, ": ")
			request.Header.Add(name, value)
		}
		response, err := client.Do(request)
		if err == nil {
			return response
		}
		// a reload resets new connections that its old server has not taken
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) || time.Since(begin) > patience {
			t.Fatalf("%s %s: %v", method, url, err)
		}
	}
}

// want fails unless a request gets that status.
func want(t testing.TB, status int, method, url, body string, header ...string) answer {
	t.Helper()
	a := do(t, method, url, body, header...)
	if a.status != status {
		t.Errorf("%s %s %s %v: %d %s, want %d", method, url, body, header, a.status, a.body, status)
	}
	return a
}

// login is the header of a user who gives a password.
func login(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// stream is an open stream.
type stream struct {
	response *http.Response
	lines    chan string
	close    func()
}

// subscribe opens a stream and waits for its first line.
func subscribe(t testing.TB, url string, header ...string) *stream {
	t.Helper()
	return subscribeWith(t, client, url, header...)
}

func subscribeWith(t testing.TB, client *http.Client, url string, header ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s := &stream{response: send(t, ctx, client, http.MethodGet, url, "", header...), lines: make(chan string, 1000), close: cancel}
	t.Cleanup(func() { s.response.Body.Close() })
	if s.response.StatusCode != http.StatusOK || s.response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("GET %s: %s %v", url, s.response.Status, s.response.Header)
	}
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(s.response.Body); scanner.Scan(); {
			s.lines <- scanner.Text()
		}
	}()
	s.await(t, ":ok")
	return s
}

// await waits for a line that contains something, and returns it.
func (s *stream) await(t testing.TB, what string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("the stream has ended before %q", what)
			}
			if strings.Contains(line, what) {
				return line
			}
		case <-timeout:
			t.Fatalf("%q: not after %s", what, patience)
		}
	}
}

// ended waits for the end, and returns the last line.
func (s *stream) ended(t testing.TB) (last string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return last
			}
			last = line
		case <-timeout:
			t.Fatalf("the stream has not ended after %s", patience)
		}
	}
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
