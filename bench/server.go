package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a server under test, in a process of its own.
type server struct {
	name      string
	addr      string
	subscribe string // path
	publish   string // path
	cmd       *exec.Cmd
	dir       string
}

// start starts a server and waits until it listens.
func start(name string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	s := &server{name: name, addr: addr, subscribe: "/subscribe", publish: "/update", dir: dir}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(exe, "serve", name)
	s.cmd.Env = append(os.Environ(), "BENCH_ADDR="+addr, "BENCH_DIR="+dir, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			time.Sleep(200 * time.Millisecond)
			return s, nil
		}
	}
	content, _ := os.ReadFile(filepath.Join(dir, "log"))
	s.stop()
	return nil, fmt.Errorf("does not listen:\n%s", content)
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	os.RemoveAll(s.dir)
}

// ticksPerSecond is what /proc counts in; Linux has fixed it for programs.
const ticksPerSecond = 100

// cpu returns how much CPU time the server has used.
func (s *server) cpu() time.Duration {
	// schedstat is exact where stat counts in 10 ms; its sum over all threads
	// that still live is enough, because servers keep theirs
	var total int64
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	for _, task := range tasks {
		content, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(content), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		total += n
	}
	if total > 0 {
		return time.Duration(total)
	}
	return s.cpuOfStat()
}

func (s *server) cpuOfStat() time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

// memory returns the proportional set size of the server in bytes.
func (s *server) memory() (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no Pss in smaps_rollup")
}
