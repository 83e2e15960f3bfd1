package clustertest

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// What makes the test binary a NATS server: its port, and its folder.
const natsPortVar, natsDirVar = "SSE_CHAT_TEST_NATS_PORT", "SSE_CHAT_TEST_NATS_DIR"

// runAsNATS serves until the process is killed, if it was started for that.
func runAsNATS() bool {
	port, err := strconv.Atoi(os.Getenv(natsPortVar))
	if err != nil {
		return false
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: os.Getenv(natsDirVar), NoLog: true,
	})
	if err != nil {
		panic(err)
	}
	s.Start()
	s.WaitForShutdown()
	return true
}

// natsProcess is a NATS server in a process of its own, which can be stopped and
// continued.
type natsProcess struct {
	url string
	cmd *exec.Cmd
}

func startNATSProcess(t *testing.T) *natsProcess {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(freePort(t))
	p := &natsProcess{url: "nats://127.0.0.1:" + port, cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), natsPortVar+"="+port, natsDirVar+"="+t.TempDir())
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	waitFor(t, "the NATS server", func() bool {
		nc, err := nats.Connect(p.url)
		if err != nil {
			return false
		}
		defer nc.Close()
		js, err := nc.JetStream()
		if err != nil {
			return false
		}
		_, err = js.AccountInfo()
		return err == nil
	})
	return p
}

func (p *natsProcess) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// stop has the server do nothing any more, while its connections stay.
func (p *natsProcess) stop(t *testing.T) { p.signal(t, syscall.SIGSTOP) }

// goOn ends that.
func (p *natsProcess) goOn(t *testing.T) { p.signal(t, syscall.SIGCONT) }
