package bolt

import (
	"errors"
	"fmt"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

func init() {
	caddy.RegisterModule(new(Module))
}

// Module keeps a hub's messages in a file, with bbolt. A message is synced to disk
// before it is acknowledged with 200. Readers resume after a restart or a crash
// without a gap.
type Module struct {
	// The file. It is created if it does not exist; its folder must exist. Only
	// one hub of one process can use it at a time. Access by users other than
	// its owner is removed from its mode. `caddy validate` creates and changes
	// nothing. Placeholders like `{env.DATA}` are replaced. Required.
	File string `json:"file"`

	path   string // absolute, without symbolic links
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.sse_chat.stores.bolt",
		New: func() caddy.Module { return new(Module) },
	}
}

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	store bolt <file>
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the store's name
	if !d.AllArgs(&m.File) {
		return d.ArgErr()
	}
	if m.File == "" {
		return d.Err("the file must not be empty")
	}
	for d.NextBlock(0) {
		return d.Errf("unrecognized subdirective '%s': the store bolt has no options", d.Val())
	}
	return nil
}

// Provision sets up the module. It does not touch the file.
func (m *Module) Provision(ctx caddy.Context) error {
	m.logger = ctx.Logger()
	file, err := caddy.NewReplacer().ReplaceOrErr(m.File, true, true)
	if err != nil {
		return fmt.Errorf("file %q: %w", m.File, err)
	}
	if file == "" {
		return errors.New("the store bolt needs a file")
	}
	m.path, err = resolve(file)
	return err
}

// resolve returns the absolute path of a file, without symbolic links.
func resolve(file string) (string, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("file %q: %w", file, err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	// the file does not exist yet; if its folder is missing, Open returns an error
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path)), nil
	}
	return path, nil
}

// Place implements [store.Module].
func (m *Module) Place() string { return "bolt " + m.path }

// Open implements [store.Module].
func (m *Module) Open(name string, hub store.Hub, limits store.Limits) (store.Store, error) {
	if validating() {
		// the process ends before anything is published or read
		return memory.Open(hub, limits), tryOpen(m.path, name)
	}
	return Open(m.path, name, hub, limits, m.logger)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
	_ store.Module          = (*Module)(nil)
	_ store.Store           = (*Store)(nil)
	_ store.Lister          = (*Store)(nil)
	_ store.Cursors         = (*Store)(nil)
	_ store.RoomFinder      = (*Store)(nil)
)
