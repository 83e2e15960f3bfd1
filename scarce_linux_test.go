package ssechat

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// scarcity is the environment variable that tells a test that it runs in a
// process of its own, whose sockets have little room.
const scarcity = "SSE_CHAT_TEST_SCARCITY"

// Readers who read nothing cost the others nothing, also over TLS, where a
// record has to be written as a whole: with small buffers, and with little
// memory for all sockets, as in a container. They may stall for an hour, so
// whoever waited for one of them would not hear everything.
func TestStalledReadersCostNobodyWhereSocketsAreSmall(t *testing.T) {
	for _, test := range []struct {
		name    string
		stalled int
		start   func(*testing.T, *exec.Cmd)
	}{
		{"small buffers", 8, func(t *testing.T, cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
			startScarce(t, cmd)
		}},
		{"little memory", 200, func(t *testing.T, cmd *exec.Cmd) {
			group := filepath.Join("/sys/fs/cgroup/memory", fmt.Sprint("sse-chat-test-", os.Getpid()))
			if err := os.Mkdir(group, 0o755); err != nil {
				t.Skip("no memory cgroup can be made here: ", err)
			}
			t.Cleanup(func() { _ = os.Remove(group) })
			if err := os.WriteFile(filepath.Join(group, "memory.kmem.tcp.limit_in_bytes"), []byte("8M"), 0); err != nil {
				t.Skip("the memory of sockets cannot be limited here: ", err)
			}
			cmd.Env = append(cmd.Env, "SSE_CHAT_TEST_CGROUP="+filepath.Join(group, "cgroup.procs"))
			startScarce(t, cmd)
		}},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(test.name+", "+scheme, func(t *testing.T) {
				if os.Getuid() != 0 {
					t.Skip("only root can make a network or a group of its own")
				}
				//nolint:gosec // this test itself
				cmd := exec.Command(os.Args[0], "-test.run=^TestInScarcity$", "-test.v")
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", scarcity, scheme, test.stalled))
				test.start(t, cmd)
			})
		}
	}
}

func startScarce(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("no network of its own can be made here: ", err)
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "the slowest after") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// TestInScarcity is what the test above runs in a process of its own.
func TestInScarcity(t *testing.T) {
	scheme, count, ok := strings.Cut(os.Getenv(scarcity), " ")
	if !ok {
		t.Skip("only in a process of its own")
	}
	stalled, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	if group := os.Getenv("SSE_CHAT_TEST_CGROUP"); group != "" {
		if err := os.WriteFile(group, []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			t.Fatal(err)
		}
	} else {
		shrinkNetwork(t)
	}
	s := caddytest.ServeOver(t, scheme, "write_timeout 1h\nmax_text 30KiB\nretain 5000")
	for range stalled {
		s.RawStream(t, "1.1", "/subscribe")
	}
	const healthy = 10
	var readers []*chattest.Stream
	for range healthy {
		readers = append(readers, s.Stream(t, "/subscribe"))
	}
	waitParked(t, hubOf(t, "default"), stalled+healthy)
	text := strings.Repeat("x", 16<<10)
	begin := time.Now()
	var worst time.Duration
	for i := range 100 {
		sent := time.Now()
		m := s.Post(t, "/update", fmt.Sprint(i, text))
		for _, c := range readers {
			c.Until(t, "\nid: "+m.ID+"\n")
		}
		worst = max(worst, time.Since(sent))
	}
	t.Logf("all in %s, the slowest after %s", time.Since(begin), worst)
}

// shrinkNetwork makes a process's own network usable, with small buffers.
func shrinkNetwork(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	loopback.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, loopback); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tcp_wmem", "tcp_rmem"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte("4096 8192 16384"), 0); err != nil {
			t.Fatal(err)
		}
	}
}
