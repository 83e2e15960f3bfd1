package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard" // as in a real Caddy

	_ "github.com/sse-chat/caddy-sse-chat"
	"github.com/sse-chat/caddy-sse-chat/internal/freeport"
)

// http compares stores behind Caddy.
func (b *bench) http() error {
	for _, publishers := range []int{1, b.many} {
		measure := func(store string) func() (sample, error) {
			return func() (sample, error) {
				c, err := startCaddy(b.dir, strings.ReplaceAll(store, "FILE", b.file()))
				if err != nil {
					return sample{}, err
				}
				defer c.stop()
				return c.flood(b, publishers)
			}
		}
		err := b.compare(fmt.Sprintf("POST /update over HTTP/1.1, %d publishers", publishers), []*contender{
			{name: "store memory", measure: measure("store memory")},
			{name: "store bolt", measure: measure("store bolt FILE")},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// caddy is a Caddy in its own process.
type caddy struct {
	addr string
	cmd  *exec.Cmd
	// ready is how long it took to answer.
	ready time.Duration
}

// serve is that process.
func serve(args []string) {
	os.Args = append([]string{"caddy", "run", "--adapter", "caddyfile", "--config"}, args...)
	caddycmd.Main()
}

func startCaddy(dir, options string) (*caddy, error) {
	addr, err := freeport.Addr()
	if err != nil {
		return nil, err
	}
	c := &caddy{addr: addr}
	file := filepath.Join(dir, "Caddyfile")
	config := fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n}\n\nhttp://%s {\n\tsse_chat {\n\t\tretain 1000000\n\t\t%s\n\t}\n}\n", c.addr, options)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c.cmd = exec.Command(exe, "serve", file)
	c.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	c.cmd.Stdout, c.cmd.Stderr = &log, &log
	begin := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	for time.Since(begin) < 30*time.Second {
		if response, err := http.Get("http://" + c.addr + "/history?limit=1"); err == nil {
			response.Body.Close()
			c.ready = time.Since(begin)
			return c, nil
		}
		time.Sleep(time.Millisecond)
	}
	c.stop()
	return nil, fmt.Errorf("caddy does not answer:\n%s", log.String())
}

func (c *caddy) stop() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// flood publishes over one connection per publisher, with as little client work
// as possible.
func (c *caddy) flood(b *bench, publishers int) (sample, error) {
	type connection struct {
		net.Conn
		answers *bufio.Reader
	}
	connections := make([]connection, publishers)
	for i := range connections {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return sample{}, err
		}
		defer conn.Close()
		connections[i] = connection{conn, bufio.NewReader(conn)}
	}
	body := fmt.Sprintf(`{"text":%q}`, text)
	request := fmt.Appendf(nil, "POST /update HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", c.addr, len(body), body)
	return b.flood(publishers, func(worker int) error {
		conn := &connections[worker]
		if _, err := conn.Write(request); err != nil {
			return err
		}
		response, err := http.ReadResponse(conn.answers, nil)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", response.Status)
		}
		_, err = io.Copy(io.Discard, response.Body)
		return err
	})
}
