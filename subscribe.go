package ssechat

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/ratelimit"
)

// bodyWait is how long a request may take to show that it has no body.
const bodyWait = 5 * time.Second

// subscribeEndpoint answers GET /subscribe.
type subscribeEndpoint struct {
	hub     *openHub
	rooms   roomRule
	authors *authorRule
	life    *lifetime
	// common is what all subscriptions have in common.
	common hub.Subscription
	retry  hub.RetryRange
	park   bool // streams that can be parked are

	logger, accessLog *zap.Logger
}

// serve answers with a stream.
func (e *subscribeEndpoint) serve(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest(fmt.Errorf("query: %w", err))
	}
	sub, err := e.parse(r, query)
	if err != nil {
		return badRequest(err)
	}
	logRooms(r, sub.Rooms...)
	if err := e.rooms.check(r, sub.Rooms...); err != nil {
		return err
	}
	if sub.Identity, sub.You.Name, err = e.authors.reader(r, query); err != nil {
		return err
	}
	if err := refuseBody(w, r); err != nil {
		return badRequest(err)
	}
	if r.Method == http.MethodHead {
		if e.hub.IsKicked(sub.Name) {
			stopForGood(w, r, hub.EndKicked)
			return nil
		}
		streamHeader(w)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if reason := e.life.stopping.Load(); reason != nil {
		e.hub.Counts.Refused.Add(*reason)
		comeBackLater(w, r, sub.Events, *reason)
		return nil
	}
	return e.serveStream(w, r, sub)
}

// serveStream serves a subscription until the stream ends or is parked.
func (e *subscribeEndpoint) serveStream(w http.ResponseWriter, r *http.Request, sub *hub.Subscription) error {
	aborter := newAborter(w, r)
	defer aborter.release()
	sub.Abort, sub.Unacked = aborter.abort, aborter.unacked
	s, err := e.hub.Subscribe(sub)
	if err != nil {
		reason := refuseReason(err)
		e.hub.Counts.Refused.Add(reason)
		if reason == hub.EndKicked {
			stopForGood(w, r, reason)
		} else {
			comeBackLater(w, r, sub.Events, hub.RefuseFull)
		}
		return nil
	}
	parked := false
	defer func() {
		if !parked {
			s.Close()
		}
	}()
	// a drain that began meanwhile does not include this stream
	if reason := e.life.stopping.Load(); reason != nil {
		s.End(*reason)
	}
	streamHeader(w)
	if r.ProtoMajor == 1 {
		// a connection is not reused after a parked stream
		w.Header().Set("Connection", "close")
	}
	withoutDeadlines(r)
	e.life.noteHTTP3(r)
	st := &stream{w: w, flush: http.NewResponseController(w), sub: s, hub: e.hub, aborter: aborter}
	if e.park && parkable(r) {
		st.park = func() bool { return st.handOver(r, e.accessLog) }
	}
	if !st.begin() {
		e.logger.Error("ended a stream because a handler around sse_chat, such as intercept or templates, buffers it")
		s.End(hub.EndError)
		logStream(r, s, s.Over())
		return nil
	}
	reason := st.run(r.Context(), e.retry.Ms())
	if parked = reason == ""; parked {
		return nil
	}
	logStream(r, s, reason)
	if reason == hub.EndSlow && r.ProtoMajor == 3 {
		// otherwise the server would keep sending what the client does not take
		panic(http.ErrAbortHandler)
	}
	return nil
}

// parse reads a subscription from a request.
func (e *subscribeEndpoint) parse(r *http.Request, query url.Values) (*hub.Subscription, error) {
	sub := e.common
	sub.LastEventID = r.Header.Get("Last-Event-ID")
	sub.Client = ratelimit.Client(clientIP(r))
	sub.Native = isNative(r)
	var err error
	if sub.Rooms, err = manyRooms(query); err != nil {
		return nil, err
	}
	switch events := query.Get("events"); events {
	case "", "0":
	case "1":
		sub.Events = true
	default:
		return nil, fmt.Errorf("events: %.40q is neither 0 nor 1", events)
	}
	// a browser that reconnects repeats its URL, so the newer header comes first
	for _, alias := range []string{"last_event_id", "lastEventId"} { // the second is sent by polyfills
		if sub.LastEventID == "" {
			sub.LastEventID = query.Get(alias)
		}
	}
	if sub.LastEventID == "" && query.Has("last") {
		sub.Last, err = parseCount("last", query.Get("last"))
	}
	return &sub, err
}

// isNative reports whether a request comes from a browser's own EventSource, by
// headers that Chromium 156 and Firefox 153 send and a script's fetch does not.
func isNative(r *http.Request) bool {
	is := func(field, value string) bool {
		values := r.Header[field]
		return len(values) == 1 && values[0] == value
	}
	return is("Accept", "text/event-stream") && is("Cache-Control", "no-cache") && is("Pragma", "no-cache") &&
		strings.HasPrefix(r.UserAgent(), "Mozilla/5.0")
}

// refuseBody returns an error if a request has a body. An HTTP/1.1 server with an
// unread body does not notice that the client goes away.
func refuseBody(w http.ResponseWriter, r *http.Request) error {
	errBody := errors.New("a request for a stream must have no body")
	if r.ContentLength > 0 {
		return errBody
	}
	if r.ContentLength == 0 {
		return nil
	}
	// over HTTP/3 the length is unknown even without a body
	controller := http.NewResponseController(w)
	if err := controller.SetReadDeadline(time.Now().Add(bodyWait)); err == nil {
		defer func() { _ = controller.SetReadDeadline(time.Time{}) }()
	}
	var b [1]byte
	if n, err := io.ReadFull(r.Body, b[:]); n > 0 || !errors.Is(err, io.EOF) {
		return errBody
	}
	return nil
}
