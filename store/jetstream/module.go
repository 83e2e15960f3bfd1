package jetstream

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func init() {
	caddy.RegisterModule(Module{})
}

// Module keeps a hub's messages in a stream of NATS JetStream, so that any number of
// Caddy nodes form one hub: a message is acknowledged when a quorum of the stream's
// replicas has it, it has the same id on all nodes, and a reader that moves to another
// node resumes there.
//
// The stream is created if it does not exist. A start fails if the stream keeps other
// messages than the hub's `retain` says; a reload with another `retain` changes the
// stream.
type Module struct {
	// The addresses of NATS servers, like `nats://10.0.0.1:4222` or
	// `tls://nats.example.com`. At least one; it announces the others of its
	// cluster. Required.
	URLs []string `json:"urls"`

	// The name of the stream. Default: `SSE_CHAT_` and the hub's name.
	Stream string `json:"stream,omitempty"`

	// The number of servers of a cluster that keep the stream, 1 to 5. With 3, no
	// message is lost if one server is. Default: 1 for a new stream, any for an
	// existing one.
	Replicas int `json:"replicas,omitempty"`

	// A file with NATS credentials. Default: none, or those in the addresses.
	Credentials string `json:"credentials,omitempty"`

	// A file with the certificates of trusted authorities, in PEM. Default: those
	// of the system.
	TLSCA string `json:"tls_ca,omitempty"`

	// Files with a client certificate and its key, in PEM. Default: none.
	TLSCert string `json:"tls_cert,omitempty"`
	TLSKey  string `json:"tls_key,omitempty"`

	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.sse_chat.stores.jetstream",
		New: func() caddy.Module { return new(Module) },
	}
}

// Provision sets up the module.
func (m *Module) Provision(ctx caddy.Context) error {
	m.logger = ctx.Logger()
	return m.check()
}

func (m *Module) check() error {
	if len(m.URLs) == 0 {
		return errors.New("jetstream: the address of a NATS server is missing")
	}
	for _, address := range m.URLs {
		if err := checkURL(address); err != nil {
			return fmt.Errorf("jetstream: %w", err)
		}
	}
	if m.Stream != "" && !plain.MatchString(m.Stream) {
		return fmt.Errorf("jetstream: stream: %q is not 1 to 64 of A-Z, a-z, 0-9, _ and -", m.Stream)
	}
	if m.Replicas < 0 || m.Replicas > 5 {
		return fmt.Errorf("jetstream: replicas: %d is not 1 to 5", m.Replicas)
	}
	if (m.TLSCert == "") != (m.TLSKey == "") {
		return errors.New("jetstream: tls_cert and tls_key go together")
	}
	for option, file := range map[string]string{
		"credentials": m.Credentials, "tls_ca": m.TLSCA, "tls_cert": m.TLSCert, "tls_key": m.TLSKey,
	} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("jetstream: %s: %w", option, err)
		}
	}
	return nil
}

func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("the address of a NATS server: %w", err)
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return fmt.Errorf("%q is not the address of a NATS server, like nats://127.0.0.1:4222", u.Redacted())
	}
	if u.Host == "" || strings.Contains(address, ",") {
		return fmt.Errorf("%q is not the address of a NATS server, like nats://127.0.0.1:4222", u.Redacted())
	}
	return nil
}

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	store jetstream <url...> {
//		stream      <name>
//		replicas    <n>
//		credentials <file>
//		tls_ca      <file>
//		tls_cert    <file>
//		tls_key     <file>
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the store's name
	m.URLs = d.RemainingArgs()
	if len(m.URLs) == 0 {
		return d.ArgErr()
	}
	for _, address := range m.URLs {
		if err := checkURL(address); err != nil {
			return d.WrapErr(err)
		}
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return d.Errf("%s already specified", option)
		}
		seen[option] = true
		if err := m.unmarshalOption(d, option); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) unmarshalOption(d *caddyfile.Dispenser, option string) error {
	fields := map[string]*string{
		"stream": &m.Stream, "credentials": &m.Credentials,
		"tls_ca": &m.TLSCA, "tls_cert": &m.TLSCert, "tls_key": &m.TLSKey,
	}
	field, isString := fields[option]
	if !isString && option != "replicas" {
		return d.Errf("unrecognized subdirective '%s'", option)
	}
	var value string
	if !d.AllArgs(&value) {
		return d.ArgErr()
	}
	switch {
	case value == "":
		return d.Err("must not be empty")
	case isString:
		*field = value
	default:
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 5 {
			return d.Errf("bad number '%s': replicas is 1 to 5", value)
		}
		m.Replicas = n
	}
	if option == "stream" && !plain.MatchString(value) {
		return d.Errf("stream: %q is not 1 to 64 of A-Z, a-z, 0-9, _ and -", value)
	}
	return nil
}

// Place implements [store.Module]. It contains no password.
func (m *Module) Place() string {
	place := "jetstream " + m.server().place()
	if m.Stream != "" {
		place += " " + m.Stream
	}
	return place
}

func (m *Module) server() server {
	return server{urls: m.URLs, credentials: m.Credentials, ca: m.TLSCA, cert: m.TLSCert, key: m.TLSKey}
}

// place returns the addresses of the servers, without passwords.
func (s server) place() string {
	places := make([]string, len(s.urls))
	for i, address := range s.urls {
		places[i] = "?"
		if u, err := url.Parse(address); err == nil {
			places[i] = u.Redacted()
		}
	}
	return strings.Join(places, " ")
}

// Open implements [store.Module].
func (m *Module) Open(name string, hub store.Hub, limits store.Limits) (store.Store, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	stream := m.Stream
	if stream == "" {
		stream = "SSE_CHAT_" + token(name)
	}
	logger := m.logger
	if logger == nil {
		logger = zap.NewNop()
	}
	s, err := open(hub, limits, config{m.server(), stream, m.Replicas}, logger.With(zap.String("stream", stream)))
	if err != nil {
		return nil, err // not s: a nil *Store is not a nil store.Store
	}
	return s, nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
	_ store.Module          = (*Module)(nil)
)
