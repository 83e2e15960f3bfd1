package chattest

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// OpenSSL is a client's TLS connection of the openssl command, which can update its
// keys. Go's cannot.
type OpenSSL struct {
	net.Conn           // what the command sends
	received io.Reader // what it has received
	messages string    // path of a file that shows the messages of TLS
	sent     int       // updates that this side has sent
	asked    int       // updates that it has asked the server for
}

// DialOpenSSL connects to a server over TLS 1.3 with a protocol, like "h2". The test is
// skipped if there is no openssl command. Of what is written at once, the first byte must
// not be a K, k, Q or R, because these are commands, and it must not be longer than 8 KiB.
func DialOpenSSL(t testing.TB, addr, protocol string) *OpenSSL {
	t.Helper()
	exe, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("the openssl command, with which keys are updated, is not installed")
	}
	// each write must be a read of its own, because commands are looked for at the start
	// of what is read
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, stdin := os.NewFile(uintptr(pair[0]), ""), os.NewFile(uintptr(pair[1]), "")
	defer ours.Close()
	defer stdin.Close()
	c := &OpenSSL{messages: filepath.Join(t.TempDir(), "messages")}
	if c.Conn, err = net.FileConn(ours); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "s_client", "-connect", addr, "-servername", "localhost", "-tls1_3", "-alpn", protocol,
		"-quiet", "-no_ign_eof", "-msg", "-msgfile", c.messages)
	cmd.Stdin = stdin
	if c.received, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close() // ends the command too
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return c
}

// Read implements [net.Conn].
func (c *OpenSSL) Read(p []byte) (int, error) { return c.received.Read(p) }

// UpdateKeys changes the keys with which this side sends, and asks the server to change
// its own if both is set. It returns when that is done. Only one goroutine at a time may
// call it.
func (c *OpenSSL) UpdateKeys(t testing.TB, both bool) {
	t.Helper()
	command := "k\n"
	if both {
		command = "K\n"
		c.asked++
	}
	c.sent++
	if _, err := io.WriteString(c.Conn, command); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "keys are updated", func() bool {
		messages, _ := os.ReadFile(c.messages)
		return bytes.Count(messages, []byte(">>> TLS 1.3, Handshake [length 0005], KeyUpdate")) == c.sent &&
			bytes.Count(messages, []byte("<<< TLS 1.3, Handshake [length 0005], KeyUpdate")) == c.asked
	})
}
