// Package logroute finds the access log of a site as Caddy does for a request, but
// in a configuration that may have replaced the one under which the request came.
// It copies Caddy's rules, because Caddy does not export them:
// https://github.com/caddyserver/caddy/blob/v2.11.9/modules/caddyhttp/logging.go
package logroute

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Site identifies the site of a stream for its access log: by where its server
// listens and by the host under which it has loggers. It finds the site's loggers
// again in another configuration, where their names may differ, because the
// Caddyfile adapter numbers them.
type Site struct {
	listen         []string       // addresses of its server
	local          netip.AddrPort // address that the client connected to; zero if not over TCP
	host           string         // host of the request, in lower case
	key            string         // key in the server's logger names; "" if the host has none
	chosen         []string       // logger names that log_name gave the request; they do not change
	InitialLoggers []string       // logger names when the stream began; empty if it is not logged
}

// SiteOf returns the site of a request to a server.
func SiteOf(server *caddyhttp.Server, r *http.Request) Site {
	s := Site{listen: server.Listen, host: strings.ToLower(hostOf(r)), chosen: chosenLoggers(r)}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		s.local = local.AddrPort()
	}
	if server.Logs != nil {
		s.key = loggerKey(server.Logs.LoggerNames, s.host)
	}
	s.InitialLoggers = s.loggersOf(server.Logs)
	return s
}

// Loggers returns the names of the site's loggers in the configuration of app, and
// whether credentials are logged there. An empty name is the access log itself,
// which also gets the lines of a site that is gone. app may be nil.
func (s *Site) Loggers(app *caddyhttp.App) (names []string, credentials bool) {
	server := s.server(app)
	switch {
	case server == nil && s.chosen != nil:
		return s.chosen, false
	case server == nil:
		return []string{""}, false
	case server.Logs == nil:
		return nil, false
	}
	return s.loggersOf(server.Logs), server.Logs.ShouldLogCredentials
}

// loggersOf returns the names of the site's loggers in a server's log
// configuration.
func (s *Site) loggersOf(logs *caddyhttp.ServerLogConfig) []string {
	if logs == nil {
		return nil
	}
	names, mapped := logs.LoggerNames[s.key]
	switch {
	case !mapped && (logs.SkipUnmappedHosts || slices.ContainsFunc(logs.SkipHosts, s.matches)):
		return nil
	case s.chosen != nil:
		return s.chosen
	case mapped:
		return names
	case s.key != "":
		return []string{""} // not the default logger, which is for all other hosts
	default:
		return []string{logs.DefaultLoggerName}
	}
}

func (s *Site) matches(pattern string) bool { return certmagic.MatchWildcard(s.host, pattern) }

// How well an address of a server matches a site.
const (
	fitNone    = iota
	fitAll     // all addresses of the machine
	fitSame    // the site's server had it
	fitAddress // the client connected to it
)

// server returns the server in a configuration that listens where the site's server
// did, or nil.
func (s *Site) server(app *caddyhttp.App) *caddyhttp.Server {
	if app == nil {
		return nil
	}
	var found *caddyhttp.Server
	best := fitNone
	for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
		for _, listen := range app.Servers[name].Listen {
			if fit := s.fit(listen); fit > best {
				found, best = app.Servers[name], fit
			}
		}
	}
	return found
}

// fit returns how well an address matches the site.
func (s *Site) fit(listen string) int {
	fit := fitNone
	if slices.Contains(s.listen, listen) {
		fit = fitSame
	}
	addr, err := caddy.ParseNetworkAddress(listen)
	if err != nil || !s.local.IsValid() || addr.IsUnixNetwork() || addr.IsFdNetwork() {
		return fit
	}
	if port := uint(s.local.Port()); port < addr.StartPort || port > addr.EndPort {
		return fitNone
	}
	host, err := netip.ParseAddr(addr.Host)
	switch {
	case err == nil && host.Unmap() == s.local.Addr().Unmap():
		return fitAddress
	case addr.Host == "" || err == nil && host.IsUnspecified():
		return max(fit, fitAll)
	default:
		return fit // a host name may stand for any address
	}
}

// chosenLoggers returns the logger names that log_name gave a request; nil if none.
func chosenLoggers(r *http.Request) []string {
	chosen, ok := caddyhttp.GetVar(r.Context(), caddyhttp.AccessLoggerNameVarKey).([]any)
	if !ok {
		return nil
	}
	names := make([]string, 0, len(chosen))
	for _, name := range chosen {
		if name, ok := name.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// loggerKey returns the key under which a host has loggers, its own or one with
// wildcards, or "".
func loggerKey(names map[string]caddyhttp.StringArray, host string) string {
	if _, ok := names[host]; ok {
		return host
	}
	labels := strings.Split(host, ".")
	for i := range labels {
		if labels[i] == "" {
			continue
		}
		labels[i] = "*"
		key := strings.Join(labels, ".")
		if _, ok := names[key]; ok {
			return key
		}
	}
	return ""
}

func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}
