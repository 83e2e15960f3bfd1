package memory

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func init() {
	caddy.RegisterModule(Module{})
}

// Module keeps a hub's messages in memory. They survive a reload of the
// configuration, but not a restart of the process; after a restart, readers that
// return receive a `gap` event. This is the default store. It has no options.
type Module struct{}

// CaddyModule returns the Caddy module information.
func (Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.sse_chat.stores.memory",
		New: func() caddy.Module { return new(Module) },
	}
}

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	store memory
func (*Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the store's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		return d.Errf("unrecognized subdirective '%s': the store memory has no options", d.Val())
	}
	return nil
}

// Place implements [store.Module].
func (Module) Place() string { return "memory" }

// Open implements [store.Module].
func (Module) Open(_ string, hub store.Hub, limits store.Limits) (store.Store, error) {
	return Open(hub, limits), nil
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*Module)(nil)
	_ store.Module          = (*Module)(nil)
	_ store.Store           = (*Store)(nil)
	_ store.Lister          = (*Store)(nil)
	_ store.RoomFinder      = (*Store)(nil)
)
