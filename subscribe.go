package ssechat

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/ratelimit"
)

const (
	// bodyWait is how long a request may take to show that it has no body.
	bodyWait = 5 * time.Second
)

// serveSubscribe answers GET /subscribe with a stream.
func (h *Handler) serveSubscribe(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest(fmt.Errorf("query: %w", err))
	}
	sub, err := h.parseSubscribe(r, query)
	if err != nil {
		return badRequest(err)
	}
	logRooms(r, sub.Rooms...)
	if err := h.refuseRooms(r, sub.Rooms...); err != nil {
		return err
	}
	if sub.Identity, sub.GivenName, err = h.readerIdentity(r, query); err != nil {
		return err
	}
	if err := refuseBody(w, r); err != nil {
		return badRequest(err)
	}
	if r.Method == http.MethodHead {
		if h.hub.IsKicked(sub.Name) {
			stopForGood(w, r, hub.EndKicked)
			return nil
		}
		streamHeader(w)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if reason := h.stopping.Load(); reason != nil {
		h.hub.Counts.Refused.Add(*reason)
		comeBackLater(w, r, sub.Events, *reason)
		return nil
	}
	return h.stream(w, r, sub)
}

// stream serves a subscription until it ends.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, sub *hub.Subscription) error {
	cutter := newCutter(w, r)
	defer cutter.release()
	sub.Abort, sub.Unheard = cutter.cut, cutter.unheard
	s, err := h.hub.Subscribe(sub)
	if err != nil {
		reason := refuseReason(err)
		h.hub.Counts.Refused.Add(reason)
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
	// one that began to drain meanwhile does not know of this stream
	if reason := h.stopping.Load(); reason != nil {
		s.End(*reason)
	}
	streamHeader(w)
	if r.ProtoMajor == 1 {
		// a connection whose stream was parked carries nothing after it
		w.Header().Set("Connection", "close")
	}
	withoutDeadlines(r)
	h.noteHTTP3(r)
	st := &stream{w: w, flush: http.NewResponseController(w), sub: s, hub: h.hub, cutter: cutter}
	if h.parkable(r) {
		st.park = func() bool { return st.handOver(r, h.accessLog) }
	}
	if !st.begin() {
		h.logger.Error("ended a stream because a handler around sse_chat, such as intercept or templates, buffers it")
		s.End(hub.EndError)
		logStream(r, s, s.Over())
		return nil
	}
	reason := st.run(r.Context(), h.retry.Ms())
	if parked = reason == ""; parked {
		return nil
	}
	logStream(r, s, reason)
	if reason == hub.EndSlow && r.ProtoMajor == 3 {
		// otherwise what the client does not take would not be given up
		panic(http.ErrAbortHandler)
	}
	return nil
}

// parseSubscribe reads what a request asks for.
func (h *Handler) parseSubscribe(r *http.Request, query url.Values) (*hub.Subscription, error) {
	sub := &hub.Subscription{
		LastEventID:    r.Header.Get("Last-Event-ID"),
		Heartbeat:      time.Duration(h.Heartbeat),
		WriteTimeout:   time.Duration(h.WriteTimeout),
		MaxAge:         h.streamAge,
		Group:          h.streams,
		MaxSubscribers: h.MaxSubscribers,
		MaxPerClient:   h.MaxSubscribersPerClient,
		Client:         ratelimit.Client(clientIP(r)),
		Native:         isNative(r),
	}
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
	// a browser that reconnects repeats its URL, but the header is new
	for _, alias := range []string{"last_event_id", "lastEventId"} { // the second is of polyfills
		if sub.LastEventID == "" {
			sub.LastEventID = query.Get(alias)
		}
	}
	if sub.LastEventID == "" && query.Has("last") {
		sub.Last, err = parseCount("last", query.Get("last"))
	}
	return sub, err
}

// isNative reports whether a request is of a browser's own EventSource: by what
// Chromium 156 and Firefox 153 send, and a script's fetch does not.
func isNative(r *http.Request) bool {
	is := func(field, value string) bool {
		values := r.Header[field]
		return len(values) == 1 && values[0] == value
	}
	return is("Accept", "text/event-stream") && is("Cache-Control", "no-cache") && is("Pragma", "no-cache") &&
		strings.HasPrefix(r.UserAgent(), "Mozilla/5.0")
}

// refuseBody returns an error if a request has a body. With one, a server of
// HTTP/1.1 would not notice that the client goes away.
func refuseBody(w http.ResponseWriter, r *http.Request) error {
	errBody := errors.New("a request for a stream must have no body")
	if r.ContentLength > 0 {
		return errBody
	}
	if r.ContentLength == 0 {
		return nil
	}
	// over HTTP/3 the length is unknown even if there is no body
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
