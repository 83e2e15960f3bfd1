package ssechat

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/ratelimit"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// limiters holds the limiters in use, so that a reload that does not change a rate
// forgets nothing. Handlers of one hub with the same rate share one.
var limiters = caddy.NewUsagePool() // *ratelimit.Limiter by limiterKey

// limiterKey identifies a limiter.
type limiterKey struct {
	hub  string
	rate Rate
}

// allowance is how many messages each client may publish in a hub. A nil allowance
// is no limit.
type allowance struct {
	limiterKey

	limiter *ratelimit.Limiter
}

// newAllowance returns the allowance of a hub for a rate. It must be released.
func newAllowance(hub string, rate *Rate) *allowance {
	if rate == nil {
		return nil
	}
	key := limiterKey{hub, *rate}
	shared, _ := limiters.LoadOrStore(key, ratelimit.New(rate.Messages, time.Duration(rate.Window)))
	return &allowance{key, shared.(*ratelimit.Limiter)}
}

// newSignalAllowance returns the allowance of a hub for signals: one a second. It must be
// released.
func newSignalAllowance(hub string) *allowance {
	return newAllowance("signals of "+hub, &Rate{Messages: 1, Window: caddy.Duration(time.Second)}) // no hub has such a name
}

func (a *allowance) release() {
	if a != nil {
		_, _ = limiters.Delete(a.limiterKey) // only a destructor could fail
	}
}

// charge takes from a client's allowance so many fresh messages. The caller must call
// give with the receipts, or nil if storing failed. It gives back what was taken for
// messages that were not stored, or were repeats after all: an instance of the hub on
// another node may know a nonce that this one has not heard of.
func (a *allowance) charge(r *http.Request, fresh int) (give func([]store.Receipt), err error) {
	client := ratelimit.Client(clientIP(r))
	if client == "" {
		return func([]store.Receipt) {}, nil // not limited
	}
	window := time.Duration(a.rate.Window)
	if fresh > a.rate.Messages {
		return nil, badRequest(fmt.Errorf("the batch has %d new messages, but only %d may be sent within %s: split it", fresh, a.rate.Messages, window))
	}
	if wait := a.limiter.Take(client, fresh, time.Now()); wait > 0 {
		return nil, a.tooFast(wait)
	}
	return func(receipts []store.Receipt) {
		unused := fresh
		for _, receipt := range receipts {
			if !receipt.Repeat {
				unused--
			}
		}
		a.limiter.GiveBack(client, unused, time.Now())
	}, nil
}

// take takes one change from a client's allowance. The caller must call give with the
// receipt and the error of the store, which gives it back for what was not made. A nil
// allowance is no limit.
func (a *allowance) take(r *http.Request) (give func(store.Receipt, error), err error) {
	client := ""
	if a != nil {
		client = ratelimit.Client(clientIP(r))
	}
	if client == "" {
		return func(store.Receipt, error) {}, nil // not limited
	}
	if wait := a.limiter.Take(client, 1, time.Now()); wait > 0 {
		return nil, a.tooFast(wait)
	}
	return func(receipt store.Receipt, err error) {
		if err != nil && !isRefusal(err) || receipt.Repeat || receipt.Unchanged {
			a.limiter.GiveBack(client, 1, time.Now())
		}
	}, nil
}

// tooFast is the answer to a client that has to wait.
func (a *allowance) tooFast(wait time.Duration) error {
	return retryAfter(http.StatusTooManyRequests, wait,
		fmt.Errorf("too many messages: %d may be sent within %s", a.rate.Messages, time.Duration(a.rate.Window)))
}

// clientIP returns the address of a request's client as Caddy has determined it:
// behind trusted proxies what they say. Over a Unix socket whose proxy is not
// trusted, or says nothing, it is "" or "@".
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}
