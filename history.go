package ssechat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/bodytime"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	historyDefault = 50
	historyMax     = 200
)

// historyEndpoint answers GET /history.
type historyEndpoint struct {
	hub   *openHub
	rooms roomRule
}

// serve answers with a page of a room's messages.
func (e *historyEndpoint) serve(w http.ResponseWriter, r *http.Request) error {
	room, err := e.rooms.oneRoom(r)
	if err != nil {
		return err
	}
	bodytime.LeaveUnread(w, r)
	query := r.URL.Query()
	limit, err := historyLimit(query)
	if err != nil {
		return badRequest(err)
	}
	if query.Has("before") && query.Has("after") {
		return badRequest(errors.New("give before or after, not both"))
	}
	page, err := e.page(r.Context(), room, query, limit)
	if err != nil {
		return err
	}
	answer := wire.AppendHistory(nil, page)
	if !query.Has("before") && !query.Has("after") {
		w.Header().Set("Cache-Control", "no-store")
		return writeAnswer(w, http.StatusOK, "application/json", answer)
	}
	writeCacheable(w, r, answer)
	return nil
}

// page reads the page before or after an id that the query names, or the
// newest one.
func (e *historyEndpoint) page(ctx context.Context, room string, query url.Values, limit int) (page store.Page, err error) {
	ctx, cancel := context.WithTimeout(ctx, hub.ReadTimeout)
	defer cancel()
	id := store.MaxID
	switch {
	case query.Has("after"):
		if id, err = store.ParseID(query.Get("after")); err != nil {
			return page, badRequest(fmt.Errorf("after: %w", err))
		}
		page, err = e.hub.After(ctx, room, id, limit)
	case query.Has("before"):
		if id, err = store.ParseID(query.Get("before")); err != nil {
			return page, badRequest(fmt.Errorf("before: %w", err))
		}
		fallthrough
	default:
		page, err = e.hub.Before(ctx, room, id, limit)
	}
	if err != nil {
		return page, retryAfter(http.StatusServiceUnavailable, storeRetryAfter, fmt.Errorf("reading the history: %w", err))
	}
	return page, nil
}

// writeCacheable answers with JSON that caches may keep but have to revalidate,
// because a page changes when messages are changed or deleted.
func writeCacheable(w http.ResponseWriter, r *http.Request, answer []byte) {
	sum := sha256.Sum256(answer)
	w.Header().Set("Etag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// If-None-Match is the only conditional that makes sense here; ranges do not
	asked := &http.Request{Method: r.Method, Header: http.Header{"If-None-Match": r.Header["If-None-Match"]}}
	http.ServeContent(w, asked, "", time.Time{}, bytes.NewReader(answer))
}

// historyLimit returns how many messages a page of history has.
func historyLimit(query url.Values) (int, error) {
	if !query.Has("limit") {
		return historyDefault, nil
	}
	n, err := parseCount("limit", query.Get("limit"))
	return min(n, historyMax), err
}

// parseCount parses a number of things. One that is too large for an int is
// clamped.
func parseCount(what, s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt32, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %.40q is not a number", what, s)
	}
	return int(n), nil
}
