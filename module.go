// Package ssechat gives a site chat rooms over Server-Sent Events, as a Caddy
// module.
package ssechat

import (
	"cmp"
	"encoding/json"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/approval"
	"github.com/sse-chat/caddy-sse-chat/internal/descriptors"
	"github.com/sse-chat/caddy-sse-chat/internal/events"
	"github.com/sse-chat/caddy-sse-chat/internal/h2tap"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/origin"
	"github.com/sse-chat/caddy-sse-chat/internal/roompattern"
	"github.com/sse-chat/caddy-sse-chat/internal/socket"
	_ "github.com/sse-chat/caddy-sse-chat/store/bolt"      // the store bolt
	_ "github.com/sse-chat/caddy-sse-chat/store/jetstream" // the store jetstream
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler gives a site chat and notification rooms over Server-Sent Events.
// `GET /subscribe` streams, `POST /update` publishes, `PATCH` and `DELETE /update` change
// a message and take it back, `GET /history` pages back, and with the option `push`, `/push`
// takes subscriptions for web push; all other requests go to the next handler.
//
// The handlers and matchers before it decide who may do what: `basic_auth`,
// `forward_auth` and matchers on path, method or `query room=…`. Handlers
// with the same hub share its rooms, also across sites. The smallest site is:
//
//	:3000 {
//		sse_chat
//		root public
//		file_server
//	}
//
// A message that was answered with 200 reaches each reader of its room exactly
// once and in the same order, across reconnects and reloads. A reader that was
// away for longer than messages are kept gets a `gap` event.
//
// In the Caddyfile, the directive is ordered after `respond` and before
// `metrics`, so a site's own denials and answers come first:
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
//
// Placeholders, such as `{http.auth.user.id}` or `{http.request.header.X-User}`,
// are replaced in `name`, `rooms` and `before_publish` on each request; global ones, such as
// `{env.SECRET}`, in `webhook` when the configuration is loaded. The handler sets none.
//
// It adds these fields to the access log:
//
// Field | Meaning
// ------|---------
// `room` | The room of the request; several are separated by commas.
// `sse_events` | The number of messages sent on the stream.
// `sse_bytes` | The number of bytes sent on the stream, including chunk sizes if it was parked over HTTP/1.1.
// `sse_reason` | Why the stream ended: `client`, `slow`, `reload`, `exit`, `max_age`, `kicked` or `error`; or `full` if it never started.
//
// It emits these events of the `events` app:
//
// Event | Data | Meaning
// ------|------|---------
// `drained` | `hub`, `reason`, `streams` | All streams ended by a reload or an exit are gone.
// `store_down` | `hub`, `error` | Writes to the store started to fail.
// `store_up` | `hub` | Writes to the store succeed again.
// `webhook_down` | `hub`, `error` | The site of `webhook` has accepted nothing for a minute.
// `webhook_up` | `hub` | It accepts again.
//
// Metrics, labelled by `hub`, are named `caddy_sse_chat_…`. In the admin API,
// `/sse_chat/hubs` inspects and moderates hubs.
type Handler struct {
	// The name of the hub. Handlers of the same hub share rooms and messages,
	// and must agree on the store, `retain`, `max_rooms` and `max_size`.
	// Default: `default`.
	Hub string `json:"hub,omitempty"`

	// The path that streams. Default: `/subscribe`.
	Subscribe string `json:"subscribe,omitempty"`

	// The path that publishes. Default: `/update`.
	Update string `json:"update,omitempty"`

	// The path that pages back, or `off`. Default: `/history`.
	History string `json:"history,omitempty"`

	// The rooms that requests may name, for reading and writing, as patterns:
	// `*` matches any number of characters, including none, and placeholders are
	// replaced on each request, as in `inbox-{http.auth.user.id}`. A pattern with
	// a placeholder that is empty or not valid in a room name matches nothing.
	// A request that names any other room gets 403; one that names no room means
	// `lobby`. Default: any.
	Rooms []string `json:"rooms,omitempty"`

	// The author of messages, for example `{http.auth.user.id}`. If set, the
	// name that a client gives is ignored. A placeholder value that is not a
	// valid name, because it is longer than 64 bytes or not printable text, is
	// made valid, and the first one is logged as a warning. Default: the name
	// that the client gives.
	Name string `json:"name,omitempty"`

	// How long a client waits before it reconnects.
	Retry *Retry `json:"retry,omitempty"`

	// How often an idle stream gets a heartbeat, give or take a tenth. At least
	// 100ms; keep it below 30s, after which HTTP/3 and some proxies drop an idle
	// connection. Default: `15s`.
	Heartbeat caddy.Duration `json:"heartbeat,omitempty"`

	// How many messages each room keeps, and for how long.
	Retain *Retain `json:"retain,omitempty"`

	// How many bytes the text, the data and the event of a message may have together,
	// at most 30720. Default: 8192.
	MaxText int `json:"max_text,omitempty"`

	// How many streams the hub may have. Beyond that, new ones are told to come
	// back later; existing ones are never closed. Default: no limit.
	MaxSubscribers int `json:"max_subscribers,omitempty"`

	// How many streams of the hub one client IP may have, across all handlers.
	// An IPv6 /64 is one client; requests without an address, as over a Unix
	// socket whose proxy is not trusted, are not counted. Default: no limit.
	MaxSubscribersPerClient int `json:"max_subscribers_per_client,omitempty"`

	// How many bytes of memory a hub with the store `memory` may use for its
	// messages, nonces and rooms, at least 1048576. Beyond that, rooms without
	// readers are dropped with their messages, longest idle first, then the
	// oldest messages of all rooms. Default: a quarter of the memory that the
	// process may use, by GOMEMLIMIT, its cgroup and the machine.
	MaxSize int `json:"max_size,omitempty"`

	// How many rooms may hold messages, and how many may have readers. Beyond
	// that, the longest idle room without readers is dropped with its messages.
	// Default: 100000.
	MaxRooms int `json:"max_rooms,omitempty"`

	// How many messages one client IP may publish. Handlers of one hub with the
	// same rate count together. Clients are as for
	// `max_subscribers_per_client`. Default: no limit.
	Rate *Rate `json:"rate,omitempty"`

	// How long a reader may stall a write before its stream is cut; it can
	// resume where it was. A reader whose machine has vanished, and so
	// acknowledges nothing, is dropped after the same time, but not before 3 s.
	// At least 100ms. Default: `10s`.
	WriteTimeout caddy.Duration `json:"write_timeout,omitempty"`

	// How long a stream may last, plus up to a tenth, before it is ended
	// cleanly so that its client reconnects. At least 1s. Default: no limit.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// What the events of messages have as their data: `json`, or `raw`, the text
	// itself, or the `data` of the message, line by line, for pages that insert what
	// comes as HTML, like those with htmx. Then whoever publishes must be trusted, and
	// escapes what others have written. Default: `json`.
	Format string `json:"format,omitempty"`

	// A site that is asked before a message or a change of one is stored; see
	// docs/api.md. Default: nobody is asked.
	BeforePublish *BeforePublish `json:"before_publish,omitempty"`

	// The contact that push services get for this site: `mailto:…` or `https:…`.
	// With it, `/push` takes the subscriptions of browsers, and messages are pushed to people
	// who have no stream open. Default: off.
	Push string `json:"push,omitempty"`

	// A site that is told of each message and change of the hub; see docs/api.md. Handlers of one hub that set it must set the same. Default: nobody
	// is told.
	Webhook *Webhook `json:"webhook,omitempty"`

	// Whether requests here may change and delete the messages of others. Which
	// requests come here is for matchers and authentication before this handler.
	// Default: false.
	Moderate bool `json:"moderate,omitempty"`

	// Whether streams over HTTP/1.1 and HTTP/2 are parked: between messages they
	// hold no handler, no goroutine and no buffers, and they stay open across
	// reloads, over HTTP/2 for two to three minutes. Parking needs
	// Linux and a connection that nothing but TLS wraps; other streams are
	// served by their handler as usual. Default: true.
	Park *bool `json:"park,omitempty"`

	// Other origins whose pages may read and write, as browsers send them: like
	// `https://chat.example.com`, without a path or the default port, hosts in
	// punycode. App origins, like `capacitor://localhost`, are taken verbatim.
	// Preflights allow any header. Default: none.
	Origins []string `json:"origins,omitempty"`

	// Where messages are kept. Default: `{"store": "memory"}`.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=http.sse_chat.stores inline_key=store"`

	logger    *zap.Logger
	origins   origin.Rule
	endpoints map[string]endpoint // by path
	life      *lifetime           // nil until Provision
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.sse_chat",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets up the handler and opens its hub, unless that is open.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.setDefaults()
	// not in Validate, which comes after Provision: a hub must not open with
	// invalid limits
	if err := h.check(); err != nil {
		return err
	}
	rooms, err := roompattern.ParseAll(h.Rooms)
	if err != nil {
		return err
	}
	if h.origins, err = origin.NewRule(h.Origins, h.methods()); err != nil {
		return err
	}
	h.life = &lifetime{events: events.NewEmitter(ctx)}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	// there is no server outside the http app
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	maxAge := time.Duration(h.MaxAge)
	if server != nil {
		h.attach(server)
		if h.parks() {
			tap(server)
			if socket.Supported && !h2tap.Supported {
				h.logger.Info("streams over HTTP/2 are not parked, because Caddy was built with Go 1.27 or later without the tag http2legacy; see xcaddy.md")
			}
		}
		maxAge = h.withinTimeouts(server, maxAge)
		addErrorRoute(ctx, server)
	}
	if warning := descriptors.Warning(descriptors.Limit(), h.MaxSubscribers); warning != "" {
		h.logger.Warn(warning)
	}
	module, err := h.loadStore(ctx)
	if err != nil {
		return err
	}
	if server != nil && module.Place() == memoryStore {
		warnOfSharedPorts(server, h.Hub, h.life.events, h.logger)
	}
	target, err := h.Webhook.target()
	if err != nil {
		return err
	}
	c := &claim{
		key: hubKey{h.Hub, module.Place()}, config: ctx.GetMetricsRegistry(), limits: h.limits(module), webhook: target,
		logger: h.logger, events: h.life.events, stopping: &h.life.stopping,
	}
	// the last step that can fail, so that a failed Provision has nothing to undo
	if err := c.open(module); err != nil {
		return err
	}
	h.life.claim, h.life.rate, h.life.signals = c, newAllowance(h.Hub, h.Rate), newSignalAllowance(h.Hub)
	if h.BeforePublish != nil {
		timeout := cmp.Or(time.Duration(h.BeforePublish.Timeout), defaultApprovalTimeout)
		h.life.approval = approval.NewRule(h.BeforePublish.URL, timeout, h.MaxText, h.logger)
	}
	h.addEndpoints(ctx, rooms, maxAge)
	h.addPush(ctx, rooms)
	return nil
}

// addEndpoints sets up the endpoints on the open hub.
func (h *Handler) addEndpoints(ctx caddy.Context, rooms roomRule, maxAge time.Duration) {
	open := h.life.claim.hub
	authors := &authorRule{option: h.Name, logger: h.logger}
	subscribe := &subscribeEndpoint{
		hub: open, rooms: rooms, authors: authors, life: h.life,
		common: hub.Subscription{
			Heartbeat:      time.Duration(h.Heartbeat),
			WriteTimeout:   time.Duration(h.WriteTimeout),
			MaxAge:         maxAge,
			Group:          &h.life.streams,
			MaxSubscribers: h.MaxSubscribers,
			MaxPerClient:   h.MaxSubscribersPerClient,
			Raw:            h.Format == formatRaw,
			You:            hub.You{Moderates: h.Moderate},
		},
		retry:  hub.RetryRange{Min: time.Duration(h.Retry.Min), Max: time.Duration(h.Retry.Max)},
		park:   h.parks(),
		logger: h.logger, accessLog: accessLogOf(ctx),
	}
	update := &updateEndpoint{
		hub: open, rooms: rooms, authors: authors, rate: h.life.rate, signals: h.life.signals,
		approval: h.life.approval, moderates: h.Moderate,
		bodies: bodyReader{maxText: h.MaxText, named: authors.isSet()},
	}
	h.endpoints = map[string]endpoint{
		h.Subscribe: {methods: []string{http.MethodGet, http.MethodHead}, serve: subscribe.serve},
		h.Update:    {methods: []string{http.MethodPost, http.MethodPatch, http.MethodDelete}, serve: update.serve, rejected: &open.Counts.Rejected},
	}
	if h.History != historyOff {
		history := &historyEndpoint{hub: open, rooms: rooms}
		h.endpoints[h.History] = endpoint{methods: []string{http.MethodGet}, serve: history.serve}
	}
}

// withinTimeouts returns the maximum age of streams that ends them cleanly before the
// server's timeouts cut them off. 0 is no maximum.
func (h *Handler) withinTimeouts(server *caddyhttp.Server, maxAge time.Duration) time.Duration {
	for _, timeout := range []caddy.Duration{server.WriteTimeout, server.ReadTimeout} {
		if timeout <= 0 {
			continue
		}
		age := time.Duration(timeout) * 8 / 10
		if maxAge == 0 || age < maxAge {
			maxAge = age
		}
		h.logger.Warn("the server's timeout limits streams; remove it, or set max_age",
			zap.Duration("timeout", time.Duration(timeout)), zap.Duration("streams_end_after", maxAge))
	}
	return maxAge
}

// Cleanup releases the hub. Caddy also calls it after a failed Provision.
func (h *Handler) Cleanup() error {
	if h.life == nil {
		return nil
	}
	h.life.shutdown()
	return h.life.release()
}

// Interface guards
var (
	_ caddy.Provisioner  = (*Handler)(nil)
	_ caddy.CleanerUpper = (*Handler)(nil)

	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
