// Package approval asks a site over HTTP whether something may be stored. Whatever is not
// a clear answer counts as none: nothing passes unasked.
package approval

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// passedOn are the headers of a request that the site needs to tell who sends it. The
// secret of an author is not among them; see forSite.
var passedOn = []string{"Authorization", "Cookie", "User-Agent", "Accept-Language", "Origin", "Traceparent", "Tracestate"}

// Rule asks a site before something is stored. Its methods may be called by several
// goroutines at the same time.
type Rule struct {
	// Timeout is how long the site has to answer. It is constant.
	Timeout time.Duration

	url     string // with placeholders
	site    *site
	maxText int // bytes
	logger  *zap.Logger
	failing atomic.Bool // whether the last question got no answer
}

// NewRule returns a rule for a site with this URL, which may have placeholders, and this
// long to answer a question. maxText is the limit of what it may replace. The rule must be
// closed.
func NewRule(url string, timeout time.Duration, maxText int, logger *zap.Logger) *Rule {
	return &Rule{Timeout: timeout, url: url, site: newSite(timeout), maxText: maxText, logger: logger}
}

// Close closes idle connections. Questions that wait are still answered.
func (rule *Rule) Close() { rule.site.client.CloseIdleConnections() }

// Ask asks about what a request wants to store, and replaces in the question what the
// site replaces. The error is a [*RefusalError], or why there is no answer; that is logged
// when it begins.
func (rule *Rule) Ask(ctx context.Context, r *http.Request, q *wire.Question) error {
	err := rule.post(ctx, r, q)
	_, refused := errors.AsType[*RefusalError](err)
	rule.record(err != nil && !refused, err)
	return err
}

func (rule *Rule) post(ctx context.Context, r *http.Request, q *wire.Question) error {
	url := rule.url
	if strings.Contains(url, "{") {
		url = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).ReplaceAll(url, "")
		if err := CheckURL(url); err != nil {
			return fmt.Errorf("the URL after placeholders: %w", err)
		}
	}
	limit := (6*int64(rule.maxText) + 4<<10) * int64(max(1, len(q.Messages)))
	answer, err := rule.site.ask(ctx, url, forSite(r.Header), wire.AppendQuestion(nil, q), limit)
	if err != nil {
		return err
	}
	if err := wire.ApplyAnswer(answer, q, rule.maxText); err != nil {
		return fmt.Errorf("the answer of the site: %w", err)
	}
	return nil
}

// forSite returns what is passed on of a request's header. An author's key stays here.
func forSite(from http.Header) http.Header {
	to := make(http.Header)
	for _, name := range passedOn {
		for _, value := range from[name] {
			if name != "Authorization" || !wire.IsAuthorKey(value) {
				to[name] = append(to[name], value)
			}
		}
	}
	return to
}

// record logs when questions begin to get no answer, and when they get one again.
func (rule *Rule) record(failing bool, err error) {
	if rule.failing.Swap(failing) == failing {
		return
	}
	if failing {
		rule.logger.Error("before_publish gets no answer: publishers get 503 until it does", zap.String("url", rule.url), zap.Error(err))
	} else {
		rule.logger.Info("before_publish gets answers again", zap.String("url", rule.url))
	}
}
