package ssechat

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// healthTime is how long a chat may take to answer.
const healthTime = 5 * time.Second

// checkHealth returns an error unless the chat that the command would serve is
// served by another process. A login that it asks for is an answer, too.
func (s *commandSite) checkHealth() error {
	if err := s.check(); err != nil {
		return err
	}
	addr, err := caddy.ParseNetworkAddress(s.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	url := s.url()
	if addr.IsUnixNetwork() {
		url = "http://localhost"
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if addr.IsUnixNetwork() {
			path, _, _ := strings.Cut(addr.Host, "|") // permissions follow
			return new(net.Dialer).DialContext(ctx, addr.Network, path)
		}
		return new(net.Dialer).DialContext(ctx, addr.Network, net.JoinHostPort(addr.Host, fmt.Sprint(addr.StartPort)))
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: healthTime}
	response, err := client.Get(url + "/history?limit=1")
	if err != nil {
		return fmt.Errorf("the chat does not answer: %w", err)
	}
	_ = response.Body.Close()
	if response.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("the chat answers %s", response.Status)
	}
	return nil
}
