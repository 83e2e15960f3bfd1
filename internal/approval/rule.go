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

	"github.com/sse-chat/caddy-sse-chat/internal/posting"
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

	ending context.Context // ended by End
	end    context.CancelFunc
}

// NewRule returns a rule for a site with this URL, which may have placeholders, and this
// long to answer a question. maxText is the limit of what it may replace. The rule must be
// closed.
func NewRule(url string, timeout time.Duration, maxText int, logger *zap.Logger) *Rule {
	rule := &Rule{Timeout: timeout, url: url, site: newSite(timeout), maxText: maxText, logger: logger}
	rule.ending, rule.end = context.WithCancel(context.Background())
	return rule
}

// End ends all questions, now and later, without an answer, because the process exits. A nil
// rule asks nobody.
func (rule *Rule) End() {
	if rule != nil {
		rule.end()
	}
}

// Close closes idle connections. Questions that wait are still answered.
func (rule *Rule) Close() {
	if rule != nil {
		rule.site.client.CloseIdleConnections()
	}
}

// Ask asks about what a request wants to store, and replaces in the question what the
// site replaces. The error is a [*RefusalError], or why there is no answer; that is logged
// when it begins.
func (rule *Rule) Ask(ctx context.Context, r *http.Request, q *wire.Question) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(rule.ending, cancel)()
	url, err := rule.at(r)
	if err != nil {
		return err // the fault of one request
	}
	err = rule.post(ctx, url, r.Header, q)
	_, refused := errors.AsType[*RefusalError](err)
	if rule.ending.Err() == nil {
		rule.record(err != nil && !refused, err)
	}
	return err
}

// at returns the URL for a request.
func (rule *Rule) at(r *http.Request) (string, error) {
	if !strings.Contains(rule.url, "{") {
		return rule.url, nil // it was checked
	}
	url := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).ReplaceAll(rule.url, "")
	if posting.CheckURL(url) != nil {
		return "", errors.New("the values of the placeholders make no URL") // which may be secret
	}
	return url, nil
}

func (rule *Rule) post(ctx context.Context, url string, header http.Header, q *wire.Question) error {
	limit := wire.MaxBody(rule.maxText) + wire.MaxBatchBody(rule.maxText, max(0, len(q.Messages)-1))
	answer, err := rule.site.ask(ctx, url, forSite(header), wire.AppendQuestion(nil, q), limit)
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
		rule.logger.Error("before_publish gets no answer: publishers get 503 until it does", zap.Error(err))
	} else {
		rule.logger.Info("before_publish gets answers again")
	}
}
