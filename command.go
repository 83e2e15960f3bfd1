package ssechat

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/inuse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "sse-chat",
		Usage: "[--listen <addr>] [--domain <example.com>] [--store <file>] [--hub <name>] [--access-log] [--admin <addr>] [--metrics <addr>] [--health]",
		Short: "Serves the chat and its page from the binary alone",
		Long: `
Serves the chat and its page at http://localhost:3000. The page is part of
this binary; no other file is needed.

With --domain it serves that domain over HTTPS and obtains the certificate
automatically; the domain's DNS must point here.

Messages are kept in memory and are lost when the command ends. With --store
they are kept in a file and survive a restart.

With --admin it serves Caddy's admin API at that address, and with --metrics
only the metrics, at /metrics. Whoever reaches the admin API can do everything.

With --health it serves nothing: it checks whether the chat at --listen or
--domain answers, and exits with status 0 if so.

The site is that of the repository's Caddyfile. For logins, limits or anything
else, write a Caddyfile and use 'caddy run'.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Example = "  caddy sse-chat\n  caddy sse-chat --listen 127.0.0.1:8000 --store chat.db\n  caddy sse-chat --domain chat.example.com --store /var/lib/chat.db"
			cmd.Args = cobra.NoArgs
			cmd.Flags().StringP("listen", "l", "", "Address to listen on (default :3000, or :443 with --domain)")
			cmd.Flags().StringP("domain", "d", "", "Domain name to serve, over HTTPS")
			cmd.Flags().StringP("store", "s", "", "File to keep the messages in (default in memory)")
			cmd.Flags().String("hub", "default", "Name of the hub")
			cmd.Flags().BoolP("access-log", "a", false, "Write an access log")
			cmd.Flags().String("admin", "", "Address of the admin API (default none)")
			cmd.Flags().String("metrics", "", "Address of the metrics (default none)")
			cmd.Flags().Bool("health", false, "Only check whether a running chat answers")
			cmd.RunE = caddycmd.WrapCommandFuncForCobra(runCommand)
		},
	})
}

func runCommand(flags caddycmd.Flags) (int, error) {
	site := commandSite{
		listen:    flags.String("listen"),
		domain:    flags.String("domain"),
		file:      flags.String("store"),
		hub:       flags.String("hub"),
		accessLog: flags.Bool("access-log"),
		admin:     flags.String("admin"),
		metrics:   flags.String("metrics"),
	}
	if flags.Bool("health") {
		if err := site.checkHealth(); err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
		return caddy.ExitCodeSuccess, nil
	}
	caddy.TrapSignals()
	config, err := site.config()
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if addr, err := caddy.ParseNetworkAddress(site.listen); err == nil && inuse.Addr(addr) {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("--listen: another process listens on %s: stop it, or give another address", site.listen)
	}
	if err := caddy.Run(config); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Fprintf(os.Stderr, "the chat is at %s\n", site.url())
	select {}
}

// commandSite is what the command serves.
type commandSite struct {
	listen, domain, file, hub, admin, metrics string

	accessLog bool
}

// repositoryCaddyfile is the single source of the site's configuration.
//
//go:embed Caddyfile
var repositoryCaddyfile []byte

// pageName is the name of the page's file system in the configuration.
const pageName = "sse_chat"

// config returns the site of the repository's Caddyfile, changed as the flags say,
// with the page from the binary.
func (s *commandSite) config() (*caddy.Config, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(repositoryCaddyfile, nil)
	if err != nil {
		return nil, fmt.Errorf("the Caddyfile in the binary: %w", err)
	}
	var config struct {
		Apps struct {
			HTTP any `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		return nil, err
	}
	eachHandler(config.Apps.HTTP, s.change)
	var app caddyhttp.App
	if err := json.Unmarshal(caddyconfig.JSON(config.Apps.HTTP, nil), &app); err != nil {
		return nil, err
	}
	if len(app.Servers) != 1 {
		return nil, fmt.Errorf("the Caddyfile in the binary has %d servers, want 1", len(app.Servers))
	}
	for _, server := range app.Servers {
		s.changeServer(server)
	}
	if s.metrics != "" {
		app.Servers["metrics"] = metricsServer(s.metrics)
	}
	no := false
	return &caddy.Config{
		Admin: &caddy.AdminConfig{Disabled: s.admin == "", Listen: s.admin, Config: &caddy.ConfigSettings{Persist: &no}},
		AppsRaw: caddy.ModuleMap{
			"http": caddyconfig.JSON(app, nil),
			"caddy.filesystems": caddyconfig.JSON(map[string]any{"filesystems": []any{map[string]any{
				"name":        pageName,
				"file_system": map[string]string{"backend": "sse_chat"},
			}}}, nil),
		},
	}, nil
}

// check validates the flags and sets the default address.
func (s *commandSite) check() error {
	if strings.ContainsAny(s.domain, ":/ ") {
		return fmt.Errorf("--domain: %q is not a domain name like chat.example.com", s.domain)
	}
	if s.listen == "" {
		s.listen = ":3000"
		if s.domain != "" {
			s.listen = ":443"
		}
	}
	for _, given := range []struct{ flag, addr string }{{"--listen", s.listen}, {"--admin", s.admin}, {"--metrics", s.metrics}} {
		if given.addr == "" {
			continue
		}
		addr, err := caddy.ParseNetworkAddress(given.addr)
		if err != nil {
			return fmt.Errorf("%s: %w", given.flag, err)
		}
		if addr.PortRangeSize() != 1 || addr.StartPort == 0 && !addr.IsUnixNetwork() {
			return fmt.Errorf("%s: %s names no port; write it as :3000 or 127.0.0.1:3000", given.flag, given.addr)
		}
	}
	return nil
}

// metricsServer serves Caddy's metrics, and nothing else.
func metricsServer(listen string) *caddyhttp.Server {
	return &caddyhttp.Server{
		Listen:    []string{listen},
		AutoHTTPS: &caddyhttp.AutoHTTPSConfig{Disabled: true},
		Routes: caddyhttp.RouteList{{
			MatcherSetsRaw: caddyhttp.RawMatcherSets{{"path": caddyconfig.JSON(caddyhttp.MatchPath{"/metrics"}, nil)}},
			HandlersRaw:    []json.RawMessage{json.RawMessage(`{"handler":"metrics"}`)},
		}},
	}
}

// change applies the flags to one handler of the site.
func (s *commandSite) change(handler map[string]any) {
	switch handler["handler"] {
	case "sse_chat":
		handler["hub"] = s.hub
		if s.file != "" {
			handler["store"] = map[string]string{"store": "bolt", "file": s.file}
		}
	case "file_server":
		handler["fs"], handler["root"] = pageName, "."
		delete(handler, "hide")
	}
}

func (s *commandSite) changeServer(server *caddyhttp.Server) {
	server.Listen = []string{s.listen}
	if s.accessLog {
		server.Logs = new(caddyhttp.ServerLogConfig)
	}
	if s.domain == "" {
		return
	}
	site := caddyhttp.Subroute{Routes: server.Routes}
	server.Routes = caddyhttp.RouteList{{
		MatcherSetsRaw: caddyhttp.RawMatcherSets{{"host": caddyconfig.JSON(caddyhttp.MatchHost{s.domain}, nil)}},
		HandlersRaw:    []json.RawMessage{caddyconfig.JSONModuleObject(site, "handler", "subroute", nil)},
		Terminal:       true,
	}}
}

// url returns the address of the page.
func (s *commandSite) url() string {
	addr, _ := caddy.ParseNetworkAddress(s.listen) // check has parsed it
	scheme, host, defaultPort := "http", addr.Host, uint(80)
	if s.domain != "" {
		scheme, host, defaultPort = "https", s.domain, 443
	} else if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	switch {
	case addr.IsUnixNetwork():
		return s.listen
	case addr.StartPort == defaultPort:
		return scheme + "://" + host
	default:
		return scheme + "://" + net.JoinHostPort(host, fmt.Sprint(addr.StartPort))
	}
}

// eachHandler calls f for each HTTP handler in a configuration.
func eachHandler(config any, f func(handler map[string]any)) {
	switch config := config.(type) {
	case map[string]any:
		if config["handler"] != nil {
			f(config)
		}
		for _, v := range config {
			eachHandler(v, f)
		}
	case []any:
		for _, v := range config {
			eachHandler(v, f)
		}
	}
}

// healthTime is how long a chat may take to answer.
const healthTime = 5 * time.Second

// checkHealth returns an error unless another process serves the chat that the
// command would serve. A request for a login counts as an answer.
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
			path, _, _ := strings.Cut(addr.Host, "|") // permissions may follow
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
