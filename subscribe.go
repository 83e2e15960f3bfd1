package ssechat

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	maxRooms = 100 // of one stream
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
	logRooms(r, sub.rooms...)
	if err := h.refuseRooms(r, sub.rooms...); err != nil {
		return err
	}
	if sub.identity, sub.givenName, err = h.readerIdentity(r, query); err != nil {
		return err
	}
	if err := refuseBody(w, r); err != nil {
		return badRequest(err)
	}
	if r.Method == http.MethodHead {
		if h.broker.kicks.holds(sub.name) {
			stopForGood(w, r, endKicked)
			return nil
		}
		streamHeader(w)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if reason := h.leaving.Load(); reason != nil {
		h.broker.counts.refused.add(*reason)
		comeBackLater(w, r, sub.events, *reason, retryAtEnd(*reason))
		return nil
	}
	return h.stream(w, r, sub)
}

// stream serves a subscription until it ends.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, sub *subscription) error {
	cutter := newCutter(w, r)
	defer cutter.release()
	sub.abort, sub.unheard = cutter.cut, cutter.unheard
	s, err := h.broker.subscribe(sub)
	if err != nil {
		reason := refuseReason(err)
		h.broker.counts.refused.add(reason)
		if reason == endKicked {
			stopForGood(w, r, reason)
		} else {
			comeBackLater(w, r, sub.events, refuseFull, retryFull)
		}
		return nil
	}
	parked := false
	defer func() {
		if !parked {
			s.close()
		}
	}()
	// one that began to drain meanwhile does not know of this stream
	if reason := h.leaving.Load(); reason != nil {
		s.end(*reason)
	}
	streamHeader(w)
	if r.ProtoMajor == 1 {
		// a connection whose stream was parked carries nothing after it
		w.Header().Set("Connection", "close")
	}
	withoutDeadlines(r)
	h.noteHTTP3(r)
	st := &stream{w: w, flush: http.NewResponseController(w), sub: s, cutter: cutter}
	if h.parkable(r) {
		st.park = func() bool { return st.handOver(r, h.accessLog) }
	}
	if !st.begin() {
		h.logger.Error("a handler around sse_chat, such as intercept or templates, collects the stream, so it was ended")
		s.end(endError)
		logStream(r, s, s.over())
		return nil
	}
	reason := st.run(r.Context(), h.retry.ms())
	if parked = reason == ""; parked {
		return nil
	}
	logStream(r, s, reason)
	if reason == endSlow && r.ProtoMajor == 3 {
		// otherwise what the client does not take would not be given up
		panic(http.ErrAbortHandler)
	}
	return nil
}

// refuseReason returns why a hub has refused a stream, as operators are told.
func refuseReason(err error) string {
	switch {
	case errors.Is(err, errKicked):
		return endKicked
	case errors.Is(err, errClientFull):
		return refuseClientFull
	default:
		return refuseFull
	}
}

// parseSubscribe reads what a request asks for.
func (h *Handler) parseSubscribe(r *http.Request, query url.Values) (*subscription, error) {
	sub := &subscription{
		lastEventID:    r.Header.Get("Last-Event-ID"),
		heartbeat:      time.Duration(h.Heartbeat),
		writeTimeout:   time.Duration(h.WriteTimeout),
		maxAge:         h.streamAge,
		group:          h.streams,
		maxSubscribers: h.MaxSubscribers,
		maxPerClient:   h.MaxSubscribersPerClient,
		client:         limitedClient(clientIP(r)),
		native:         isNative(r),
	}
	var err error
	if sub.rooms, err = manyRooms(query); err != nil {
		return nil, err
	}
	switch events := query.Get("events"); events {
	case "", "0":
	case "1":
		sub.events = true
	default:
		return nil, fmt.Errorf("events: %.40q is neither 0 nor 1", events)
	}
	// a browser that reconnects repeats its URL, but the header is new
	for _, alias := range []string{"last_event_id", "lastEventId"} { // the second is of polyfills
		if sub.lastEventID == "" {
			sub.lastEventID = query.Get(alias)
		}
	}
	if sub.lastEventID == "" && query.Has("last") {
		sub.last, err = parseCount("last", query.Get("last"))
	}
	return sub, err
}

// manyRooms returns the rooms that a query names, each once.
func manyRooms(query url.Values) ([]string, error) {
	names, given := query["room"]
	if !given {
		return []string{store.Lobby}, nil
	}
	rooms := make([]string, 0, min(len(names), maxRooms))
	for _, name := range names {
		if slices.Contains(rooms, name) {
			continue
		}
		if len(rooms) == maxRooms {
			return nil, fmt.Errorf("room: a stream has at most %d rooms", maxRooms)
		}
		if err := checkRoom(name); err != nil {
			return nil, err
		}
		// a copy, because the room may outlive the request it is a piece of
		rooms = append(rooms, string([]byte(name)))
	}
	return rooms, nil
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

// readerIdentity returns as whom a reader is present, and the name that the
// configuration gives it. What a client says of itself is not verified, and used
// for presence alone.
func (h *Handler) readerIdentity(r *http.Request, query url.Values) (who identity, given string, err error) {
	tag := query.Get("author")
	if query.Has("author") && !authorTag.MatchString(tag) {
		return nobody, "", badRequest(fmt.Errorf("author: %.40q is not an author's tag: 11 of A-Z, a-z, 0-9, _ and -", tag))
	}
	name, configured := h.configuredName(r)
	switch {
	case configured && name != "":
		return identity{name, personByName(name)}, name, nil
	case !configured:
		name = query.Get("name")
		if err := checkName(name); err != nil {
			return nobody, "", badRequest(err)
		}
	}
	// copies, because they are pieces of a request that they outlive
	return identity{strings.Clone(name), strings.Clone(tag)}, "", nil
}

// authorTag is what a page makes of its author's key: the first 11 characters
// of base64url(SHA-256("author " + key)).
var authorTag = regexp.MustCompile(`^[A-Za-z0-9_-]{11}$`)

// refuseBody returns an error if a request has a body. With one, a server of
// HTTP/1.1 would not notice that the client goes away.
func refuseBody(w http.ResponseWriter, r *http.Request) error {
	errBody := errors.New("a stream's request has no body")
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

func retryAtEnd(reason string) retryRange {
	if reason == endReload {
		return retryReload
	}
	return retryFull
}
