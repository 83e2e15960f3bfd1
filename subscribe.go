package ssechat

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
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
	if sub.name, sub.isNamed, err = h.readerName(r, query); err != nil {
		return err
	}
	if err := refuseBody(w, r); err != nil {
		return badRequest(err)
	}
	if r.Method == http.MethodHead {
		streamHeader(w, r)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if reason := h.leaving.Load(); reason != nil {
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
	switch {
	case errors.Is(err, errKicked):
		stopForGood(w, r, endKicked)
		return nil
	case err != nil:
		comeBackLater(w, r, sub.events, "full", retryFull)
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
	streamHeader(w, r)
	withoutDeadlines(r)
	h.noteHTTP3(r)
	st := &stream{w: w, flush: http.NewResponseController(w), sub: s}
	if h.parkable(r) {
		st.park = func() bool { return st.handOver(r, h.accessLog) }
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
		client:         clientIP(r),
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
	if sub.lastEventID == "" {
		sub.lastEventID = query.Get("last_event_id")
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

// readerName returns the name under which a reader is present, and whether the
// configuration gives it.
func (h *Handler) readerName(r *http.Request, query url.Values) (name string, given bool, err error) {
	name, given, err = h.configuredName(r)
	if err != nil || given {
		return name, given, err
	}
	name = query.Get("name")
	if err := checkName(name); err != nil {
		return "", false, badRequest(err)
	}
	return string([]byte(name)), false, nil
}

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
