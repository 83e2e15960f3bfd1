package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/proc"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
	"github.com/sse-chat/caddy-sse-chat/internal/freeport"
)

// server is a Caddy with one hub on disk and two sites for it: one parks its
// streams, the other does not.
type server struct {
	options
	dir                     string
	admin, parked, unparked string // addresses
	cert, key               string // files, over TLS
	cmd                     *exec.Cmd
	exited                  chan struct{}
	changes                 int // of the configuration
	client                  *http.Client
}

// patience is how long the server may take for anything.
const patience = 30 * time.Second

func start(o options) (*server, error) {
	s := &server{options: o, exited: make(chan struct{}), client: &http.Client{Transport: &http.Transport{TLSClientConfig: insecure()}, Timeout: patience}}
	for _, addr := range []*string{&s.admin, &s.parked, &s.unparked} {
		var err error
		if *addr, err = freeport.Addr(); err != nil {
			return nil, err
		}
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "soak-"); err != nil {
		return nil, err
	}
	if o.over.IsSecure() {
		if s.cert, s.key, err = protocol.WriteCertificate(s.dir); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(s.dir, "Caddyfile")
	if err := os.WriteFile(config, s.config(), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(s.log())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd = exec.Command(s.caddy, "run", "--adapter", "caddyfile", "--config", config)
	s.cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // the log says why it ended
		close(s.exited)
	}()
	for begin := time.Now(); time.Since(begin) < patience && s.runs(); time.Sleep(20 * time.Millisecond) {
		if response, err := s.client.Get(o.over.Scheme() + "://" + s.unparked + "/history"); err == nil {
			response.Body.Close()
			return s, nil
		}
	}
	defer s.stop()
	return nil, fmt.Errorf("%s does not answer:\n%s", s.caddy, s.logged())
}

func (s *server) runs() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// config returns a different configuration each time.
func (s *server) config() []byte {
	s.changes++
	tls, protocols := "", "h1 h2 h2c"
	if s.over.IsSecure() {
		tls, protocols = fmt.Sprintf("tls %q %q", s.cert, s.key), "h1 h2"
	}
	site := func(addr, park string) string {
		return fmt.Sprintf(`%s://%s {
	%s
	header X-Change %d
	sse_chat {
		store bolt %q
		retain %d
		heartbeat %ds
		park %s
	}
}
`, s.over.Scheme(), addr, tls, s.changes, s.file(), s.retain, 14+s.changes%2, park)
	}
	global := fmt.Sprintf(`{
	admin %s
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	log {
		level WARN
	}
	servers {
		protocols %s
	}
}
`, s.admin, protocols)
	return []byte(global + site(s.parked, "on") + site(s.unparked, "off"))
}

func (s *server) file() string { return filepath.Join(s.dir, "chat.db") }
func (s *server) log() string  { return filepath.Join(s.dir, "log") }

// change makes it load another configuration.
func (s *server) change() error {
	response, err := s.client.Post("http://"+s.admin+"/load", "text/caddyfile", bytes.NewReader(s.config()))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(response.Body)
		return fmt.Errorf("a reload got status %d: %s", response.StatusCode, why)
	}
	return nil
}

func (s *server) process() proc.Group { return proc.Group{s.cmd.Process.Pid} }

// logged returns the end of its log.
func (s *server) logged() string {
	content, _ := os.ReadFile(s.log())
	return string(content[max(0, len(content)-4<<10):])
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	os.RemoveAll(s.dir)
}
