package ssechat

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/origin"
	"github.com/sse-chat/caddy-sse-chat/internal/posting"
	"github.com/sse-chat/caddy-sse-chat/internal/roompattern"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

const (
	historyOff  = "off"
	memoryStore = "memory"

	formatJSON = "json"
	formatRaw  = "raw"

	maxTextLimit = 30 << 10
	minWait      = 100 * time.Millisecond // the resolution of a hub's clock
)

// setDefaults sets the options that the configuration leaves out.
func (h *Handler) setDefaults() {
	setDefault(&h.Hub, "default")
	setDefault(&h.Subscribe, "/subscribe")
	setDefault(&h.Update, "/update")
	setDefault(&h.History, "/history")
	if h.Retry == nil {
		h.Retry = new(Retry)
	}
	setDefault(&h.Retry.Min, caddy.Duration(10*time.Second))
	setDefault(&h.Retry.Max, h.Retry.Min)
	setDefault(&h.Heartbeat, caddy.Duration(15*time.Second))
	if h.Retain == nil {
		h.Retain = new(Retain)
	}
	if h.Retain.Count == nil {
		h.Retain.Count = new(1000)
	}
	setDefault(&h.MaxText, 8<<10)
	setDefault(&h.Format, formatJSON)
	setDefault(&h.MaxRooms, 100_000)
	setDefault(&h.WriteTimeout, caddy.Duration(10*time.Second))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// check returns the joined errors of all wrong options. It does not check options
// that are not set.
func (h *Handler) check() error {
	return errors.Join(
		h.checkHub(),
		h.checkPaths(),
		checkRoomPatterns(h.Rooms),
		h.checkAuthor(),
		h.checkRetry(),
		h.checkRetain(),
		h.checkFormat(),
		h.checkBeforePublish(),
		h.checkPush(),
		h.Webhook.check(),
		h.checkSize(),
		h.checkRate(),
		origin.CheckAll(h.Origins),
		checkCount("max_text", h.MaxText, maxTextLimit),
		checkCount("max_subscribers", h.MaxSubscribers, math.MaxInt),
		checkCount("max_subscribers per client", h.MaxSubscribersPerClient, math.MaxInt),
		checkCount("max_rooms", h.MaxRooms, math.MaxInt),
		checkLeast("heartbeat", h.Heartbeat, minWait),
		checkLeast("write_timeout", h.WriteTimeout, minWait),
		checkLeast("max_age", h.MaxAge, time.Second),
	)
}

func checkCount(option string, n, most int) error {
	switch {
	case n < 0:
		return fmt.Errorf("%s: %d is less than 1", option, n)
	case n > most:
		return fmt.Errorf("%s: %d is more than %d", option, n, most)
	}
	return nil
}

func checkLeast(option string, d caddy.Duration, least time.Duration) error {
	if d != 0 && time.Duration(d) < least {
		return fmt.Errorf("%s: %s is less than %s", option, time.Duration(d), least)
	}
	return nil
}

func (h *Handler) checkHub() error {
	if h.Hub == "" {
		return nil
	}
	if err := wire.CheckRoom(h.Hub); err != nil {
		return fmt.Errorf("hub: the rules of room names apply: %w", err)
	}
	return nil
}

func (h *Handler) checkPaths() error {
	var seen []string
	for _, p := range []struct{ option, path string }{
		{"subscribe", h.Subscribe}, {"update", h.Update}, {"history", h.History}, {"push", h.pushPath()},
	} {
		if p.path == "" || p.option == "history" && p.path == historyOff {
			continue
		}
		if !strings.HasPrefix(p.path, "/") || strings.ContainsAny(p.path, "?#*{}") {
			return fmt.Errorf("%s: %q is not a plain path like /%s", p.option, p.path, p.option)
		}
		if slices.Contains(seen, p.path) {
			return fmt.Errorf("%s: the path %s is already in use", p.option, p.path)
		}
		seen = append(seen, p.path)
	}
	return nil
}

func (h *Handler) checkAuthor() error {
	if strings.Contains(h.Name, "{") {
		return nil // known only per request
	}
	return wire.CheckName(h.Name)
}

func (h *Handler) checkRetry() error {
	if h.Retry == nil {
		return nil
	}
	if err := checkLeast("retry", h.Retry.Min, time.Millisecond); err != nil {
		return err
	}
	if h.Retry.Max != 0 && h.Retry.Max < h.Retry.Min {
		return fmt.Errorf("retry: the longest delay %s is less than the shortest %s",
			time.Duration(h.Retry.Max), time.Duration(h.Retry.Min))
	}
	return nil
}

func (h *Handler) checkRetain() error {
	if h.Retain == nil {
		return nil
	}
	if count := h.Retain.Count; count != nil && *count < 0 {
		return fmt.Errorf("retain: %d is less than 0", *count)
	}
	return checkLeast("retain", h.Retain.Age, time.Second)
}

func (h *Handler) checkFormat() error {
	switch h.Format {
	case "", formatJSON, formatRaw:
		return nil
	default:
		return fmt.Errorf("format: %q is neither json nor raw", h.Format)
	}
}

func (h *Handler) checkBeforePublish() error {
	if h.BeforePublish == nil {
		return nil
	}
	if err := posting.CheckURL(h.BeforePublish.URL); err != nil {
		return fmt.Errorf("before_publish: %w", err)
	}
	switch timeout := time.Duration(h.BeforePublish.Timeout); {
	case timeout > maxApprovalTimeout:
		return fmt.Errorf("before_publish: %s is more than %s", timeout, maxApprovalTimeout)
	case timeout != 0 && timeout < time.Millisecond:
		return fmt.Errorf("before_publish: %s is less than 1ms", timeout)
	}
	return nil
}

func (h *Handler) checkSize() error {
	if h.MaxSize == 0 {
		return nil
	}
	if h.MaxSize < memory.MinSize {
		return fmt.Errorf("max_size: %d is less than %d", h.MaxSize, memory.MinSize)
	}
	var module struct{ Store string }
	if h.StoreRaw == nil || json.Unmarshal(h.StoreRaw, &module) != nil {
		return nil // loading the store reports what is wrong
	}
	if module.Store != memoryStore {
		return fmt.Errorf("max_size: only the store memory has it, not %s", module.Store)
	}
	return nil
}

func (h *Handler) checkRate() error {
	if h.Rate == nil {
		return nil
	}
	if h.Rate.Messages < 1 {
		return fmt.Errorf("rate: %d is less than 1", h.Rate.Messages)
	}
	if time.Duration(h.Rate.Window) < time.Millisecond {
		return fmt.Errorf("rate: the window %s is less than 1ms", time.Duration(h.Rate.Window))
	}
	return nil
}

// limits returns the hub's limits.
func (h *Handler) limits(module store.Module) store.Limits {
	limits := store.Limits{Count: *h.Retain.Count, Age: time.Duration(h.Retain.Age), Rooms: h.MaxRooms, Size: h.MaxSize}
	if limits.Size == 0 && module.Place() == memoryStore {
		limits.Size = memory.DefaultSize()
	}
	return limits
}

func (h *Handler) loadStore(ctx caddy.Context) (store.Module, error) {
	if h.StoreRaw == nil {
		return memory.Module{}, nil
	}
	loaded, err := ctx.LoadModule(h, "StoreRaw")
	if err != nil {
		return nil, fmt.Errorf("loading store module: %w", err)
	}
	module, ok := loaded.(store.Module)
	if !ok {
		return nil, fmt.Errorf("module %T is not a store", loaded)
	}
	return module, nil
}

func checkRoomPatterns(patterns []string) error {
	_, err := roompattern.ParseAll(patterns)
	return err
}

// defaultApprovalTimeout and maxApprovalTimeout are the default and the limit of
// BeforePublish.Timeout.
const (
	defaultApprovalTimeout = 2 * time.Second
	maxApprovalTimeout     = time.Minute
)

// BeforePublish is a site that is asked before a message or a change is stored.
type BeforePublish struct {
	// Where questions are posted, with placeholders.
	URL string `json:"url"`
	// How long the site has to answer, 1ms to 1m. Default: `2s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`
}

// Retry is how long clients wait before they reconnect.
type Retry struct {
	// The shortest delay, at least 1ms. Default: `10s`.
	Min caddy.Duration `json:"min,omitempty"`
	// The longest delay. If it is longer than the shortest, each stream gets a
	// random delay in between. Default: the shortest.
	Max caddy.Duration `json:"max,omitempty"`
}

// Retain is how many messages each room keeps for replay, and for how long.
type Retain struct {
	// How many messages. 0 keeps none. Default: 1000.
	Count *int `json:"count,omitempty"`
	// For how long, at least 1s. Default: no limit.
	Age caddy.Duration `json:"age,omitempty"`
}

// Rate limits how many messages a client may publish. Repeats with the same
// nonce do not count.
type Rate struct {
	// How many messages, at least 1.
	Messages int `json:"messages"`
	// The time window in which they count, at least 1ms.
	Window caddy.Duration `json:"window"`
}
