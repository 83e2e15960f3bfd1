package ssechat

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/dustin/go-humanize"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("sse_chat", parseCaddyfile)
	// first of the handlers that serve, so that whatever a site denies or answers
	// otherwise comes before it
	httpcaddyfile.RegisterDirectiveOrder("sse_chat", httpcaddyfile.After, "respond")
}

func parseCaddyfile(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	sse_chat [<matcher>] {
//		hub             <name>
//		subscribe       <path>
//		update          <path>
//		history         <path>|off
//		rooms           <pattern...>
//		name            <value>
//		retry           <min> [<max>]
//		heartbeat       <duration>
//		retain          <count> [<duration>]
//		max_text        <size>
//		max_subscribers <n> [<per client>]
//		max_size        <size>
//		max_rooms       <n>
//		rate            <n> <window>
//		write_timeout   <duration>
//		max_age         <duration>
//		format          json|raw
//		before_publish  <url> [<timeout>]
//		push            <contact>
//		webhook         <url> [<secret>]
//		moderate        on|off
//		park            on|off
//		origins         <origin...>
//		store           <module> [<args...>]
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(map[string]bool)
	for d.NextBlock(0) {
		option := d.Val()
		if seen[option] {
			return d.Errf("%s already specified", option)
		}
		seen[option] = true
		if err := h.unmarshalOption(d, option); err != nil {
			return err
		}
		// after each option, so that the error has its line
		if err := h.check(); err != nil {
			return d.WrapErr(err)
		}
	}
	// only now it is known which paths are the defaults
	paths := &Handler{Subscribe: h.Subscribe, Update: h.Update, History: h.History, Push: h.Push}
	paths.setDefaults()
	if err := paths.checkPaths(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser, option string) error {
	texts := map[string]*string{
		"hub": &h.Hub, "subscribe": &h.Subscribe, "update": &h.Update, "history": &h.History, "name": &h.Name, "format": &h.Format,
		"push": &h.Push,
	}
	if field := texts[option]; field != nil {
		return parseString(d, field)
	}
	switch option {
	case "rooms":
		return parseList(d, &h.Rooms)
	case "retry":
		h.Retry = new(Retry)
		return parseArgs(d, 1, durationArg(&h.Retry.Min), durationArg(&h.Retry.Max))
	case "heartbeat":
		return parseArgs(d, 1, durationArg(&h.Heartbeat))
	case "retain":
		h.Retain = &Retain{Count: new(int)}
		return parseArgs(d, 1, countArg(h.Retain.Count, 0), durationArg(&h.Retain.Age))
	case "max_text":
		return parseArgs(d, 1, sizeArg(&h.MaxText))
	case "max_subscribers":
		return parseArgs(d, 1, countArg(&h.MaxSubscribers, 1), countArg(&h.MaxSubscribersPerClient, 1))
	case "max_size":
		return parseArgs(d, 1, sizeArg(&h.MaxSize))
	case "max_rooms":
		return parseArgs(d, 1, countArg(&h.MaxRooms, 1))
	case "rate":
		h.Rate = new(Rate)
		return parseArgs(d, 2, countArg(&h.Rate.Messages, 1), durationArg(&h.Rate.Window))
	case "write_timeout":
		return parseArgs(d, 1, durationArg(&h.WriteTimeout))
	case "max_age":
		return parseArgs(d, 1, durationArg(&h.MaxAge))
	case "before_publish":
		h.BeforePublish = new(BeforePublish)
		return parseArgs(d, 1, stringArg(&h.BeforePublish.URL), durationArg(&h.BeforePublish.Timeout))
	case "webhook":
		h.Webhook = new(Webhook)
		return parseArgs(d, 1, stringArg(&h.Webhook.URL), secretArg(&h.Webhook.Secret))
	case "moderate":
		return parseArgs(d, 1, switchArg(&h.Moderate))
	case "park":
		h.Park = new(bool)
		return parseArgs(d, 1, switchArg(h.Park))
	case "origins":
		return parseList(d, &h.Origins)
	case "store":
		return h.parseStore(d)
	default:
		return d.Errf("unrecognized subdirective '%s'", option)
	}
}

func (h *Handler) parseStore(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	name := d.Val()
	unmarshaler, err := caddyfile.UnmarshalModule(d, "http.sse_chat.stores."+name)
	if err != nil {
		return err
	}
	module, ok := unmarshaler.(store.Module)
	if !ok {
		return d.Errf("module %s (%T) is not a store", name, unmarshaler)
	}
	h.StoreRaw = caddyconfig.JSONModuleObject(module, "store", name, nil)
	return nil
}

// parseString parses the single, non-empty argument of an option.
func parseString(d *caddyfile.Dispenser, field *string) error {
	if !d.AllArgs(field) {
		return d.ArgErr()
	}
	if *field == "" {
		return d.Err("must not be empty")
	}
	return noBlock(d)
}

// parseList parses an option with one or more arguments.
func parseList(d *caddyfile.Dispenser, field *[]string) error {
	if *field = d.RemainingArgs(); len(*field) == 0 {
		return d.ArgErr()
	}
	return noBlock(d)
}

// parseArgs parses the arguments of an option, of which the first least are
// required.
func parseArgs(d *caddyfile.Dispenser, least int, args ...func(string) error) error {
	given := d.RemainingArgs()
	if len(given) < least || len(given) > len(args) {
		return d.ArgErr()
	}
	for i, parse := range args[:len(given)] {
		if err := parse(given[i]); err != nil {
			return d.WrapErr(err)
		}
	}
	return noBlock(d)
}

// noBlock returns an error if an option has a block. No option takes one.
func noBlock(d *caddyfile.Dispenser) error {
	if d.NextBlock(d.Nesting()) {
		return d.Errf("unrecognized subdirective '%s'", d.Val())
	}
	return nil
}

func stringArg(field *string) func(string) error {
	return func(arg string) error {
		*field = arg
		return nil
	}
}

func secretArg(field *string) func(string) error {
	return func(arg string) error {
		if arg == "" {
			return errors.New("the secret must not be empty")
		}
		*field = arg
		return nil
	}
}

func durationArg(field *caddy.Duration) func(string) error {
	return func(arg string) error {
		duration, err := caddy.ParseDuration(arg)
		if err != nil {
			return fmt.Errorf("bad duration value '%s': %w", arg, err)
		}
		if duration <= 0 {
			return fmt.Errorf("bad duration value '%s': must be more than 0", arg)
		}
		*field = caddy.Duration(duration)
		return nil
	}
}

func switchArg(field *bool) func(string) error {
	return func(arg string) error {
		if arg != "on" && arg != "off" {
			return fmt.Errorf("bad value '%s': must be on or off", arg)
		}
		*field = arg == "on"
		return nil
	}
}

func countArg(field *int, least int) func(string) error {
	return func(arg string) error {
		n, err := strconv.Atoi(arg)
		if err != nil {
			return fmt.Errorf("bad number '%s': %w", arg, err)
		}
		if n < least {
			return fmt.Errorf("bad number '%s': must be at least %d", arg, least)
		}
		*field = n
		return nil
	}
}

func sizeArg(field *int) func(string) error {
	return func(arg string) error {
		size, err := humanize.ParseBytes(arg)
		if err != nil {
			return fmt.Errorf("bad size value '%s': %w", arg, err)
		}
		if size == 0 {
			return fmt.Errorf("bad size value '%s': must be more than 0", arg)
		}
		*field = int(min(size, math.MaxInt))
		return nil
	}
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
