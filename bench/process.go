package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/proc"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/servers"
	"github.com/sse-chat/caddy-sse-chat/internal/freeport"
)

// process is a server under test. It may have children.
type process struct {
	kind  *servers.Server
	site  servers.Site
	pprof string // address
	cmd   *exec.Cmd

	resident int64 // size at the start, in bytes
}

// start starts a server and waits until it listens.
func start(kind *servers.Server, tls bool) (*process, error) {
	addr, err := freeport.Addr()
	if err != nil {
		return nil, err
	}
	profiler, err := freeport.Addr()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-"+kind.Name+"-")
	if err != nil {
		return nil, err
	}
	p := &process{kind: kind, site: servers.Site{Addr: addr, Dir: dir}, pprof: profiler}
	if tls {
		if p.site.Cert, p.site.Key, err = protocol.WriteCertificate(dir); err != nil {
			return nil, err
		}
	}
	if err := p.launch(); err != nil {
		return nil, err
	}
	return p, nil
}

// launch starts the process and waits until it listens.
func (p *process) launch() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	dir := p.site.Dir
	p.cmd = exec.Command(exe, "serve", p.kind.Name, p.site.Addr, dir, p.site.Cert, p.site.Key)
	p.cmd.Env = append(os.Environ(), "BENCH_PPROF="+p.pprof, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	// nginx passes this signal on to its workers
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", p.site.Addr); err == nil {
			conn.Close()
			time.Sleep(300 * time.Millisecond) // lets it finish its startup work
			p.resident = p.pids().Resident()
			return nil
		}
	}
	content, _ := os.ReadFile(filepath.Join(dir, "log"))
	p.stop()
	return fmt.Errorf("%s does not listen:\n%s", p.kind.Name, content)
}

// exitLimit is how long a server may take to exit for a restart.
const exitLimit = time.Minute

// redeploy makes the server load another configuration, or if it keeps its messages
// over a restart, exit and start again.
func (p *process) redeploy() error {
	if !p.kind.Restarts {
		return p.kind.Reload(p.site, p.cmd.Process.Pid)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.AfterFunc(exitLimit, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	if !late.Stop() {
		return fmt.Errorf("%s did not exit in %s", p.kind.Name, exitLimit)
	}
	return p.launch()
}

// stop ends the server, gently first, because a killed master leaves its workers
// behind.
func (p *process) stop() {
	pids := p.pids()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		_ = p.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Second):
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		<-ended
	}
	os.RemoveAll(p.site.Dir)
}

// pids are the server's processes.
func (p *process) pids() proc.Group { return proc.Family(p.cmd.Process.Pid) }

// cpu returns how much CPU time the server has used.
func (p *process) cpu() time.Duration { return p.pids().CPU() }

// memory returns the proportional set size of the server in bytes.
func (p *process) memory() int64 { return p.pids().Memory() }

// peak returns the highest resident size of the server minus the one at the start,
// in bytes.
func (p *process) peak() int64 { return p.pids().Peak() - p.resident }

// descriptors returns the number of descriptors that the server has open.
func (p *process) descriptors() int { return p.pids().Descriptors() }

// profile writes a CPU profile of the next moments to a file, if the server is
// written in Go.
func (p *process) profile(file string, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d+10*time.Second)
	defer cancel()
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.pprof, max(1, int(d.Seconds())))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}
