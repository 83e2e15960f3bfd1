package ssechat

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/ratelimit"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// limiters are the limiters in use, so that a reload that does not change a
// rate forgets nothing. Handlers of one hub with the same rate share one.
var limiters = caddy.NewUsagePool() // *limiter by limiterKey

// limiterKey is what makes handlers share a limiter.
type limiterKey struct {
	hub  string
	rate Rate
}

// shareLimiter returns the limiter of a hub for a rate. It must be given back
// with [unshareLimiter].
func shareLimiter(hub string, rate Rate) *ratelimit.Limiter {
	shared, _ := limiters.LoadOrStore(limiterKey{hub, rate}, ratelimit.New(rate.Messages, time.Duration(rate.Window)))
	return shared.(*ratelimit.Limiter)
}

func unshareLimiter(hub string, rate Rate) {
	_, _ = limiters.Delete(limiterKey{hub, rate}) // which can only fail to destroy what needs no destroying
}

// charge takes from what a client may send now as many messages as are new
// among drafts. give, which is called once they are stored or not, gives back
// what was taken for what is not stored, or was before: an instance of the
// hub on another node may know a nonce that this one has not heard of.
func (h *Handler) charge(ctx context.Context, r *http.Request, room string, drafts []store.Draft) (give func([]store.Receipt), err error) {
	client := ratelimit.Client(clientIP(r))
	if client == "" {
		return func([]store.Receipt) {}, nil // it is not limited
	}
	fresh, err := h.hub.CountFresh(ctx, room, drafts)
	if err != nil {
		return nil, storeError(err)
	}
	window := time.Duration(h.Rate.Window)
	if fresh > h.Rate.Messages {
		return nil, badRequest(fmt.Errorf("the batch has %d new messages, but only %d may be sent within %s: split it", fresh, h.Rate.Messages, window))
	}
	if wait := h.limiter.Take(client, fresh, time.Now()); wait > 0 {
		return nil, retryAfter(http.StatusTooManyRequests, wait,
			fmt.Errorf("too many messages: %d may be sent within %s", h.Rate.Messages, window))
	}
	return func(receipts []store.Receipt) {
		unused := fresh
		for _, receipt := range receipts {
			if !receipt.Repeat {
				unused--
			}
		}
		h.limiter.GiveBack(client, unused, time.Now())
	}, nil
}

// clientIP returns the address of a request's client as Caddy has found it:
// behind trusted proxies what these say, and over a Unix socket whose proxy is
// not trusted, or says nothing, "" or "@".
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}
