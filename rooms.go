package ssechat

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/roompattern"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// maxRooms is how many rooms a stream may have.
const maxRooms = 100

// oneRoom returns the room that a URL names once, or the lobby if it names
// none.
func oneRoom(u *url.URL) (string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", fmt.Errorf("query: %w", err)
	}
	rooms, given := query["room"]
	switch {
	case !given:
		return store.Lobby, nil
	case len(rooms) > 1:
		return "", errors.New("room: given more than once")
	}
	return rooms[0], wire.CheckRoom(rooms[0])
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
			return nil, fmt.Errorf("room: a stream may have at most %d rooms", maxRooms)
		}
		if err := wire.CheckRoom(name); err != nil {
			return nil, err
		}
		// a copy, because the room may outlive the request it is a piece of
		rooms = append(rooms, string([]byte(name)))
	}
	return rooms, nil
}

// refuseRooms returns an error with status 403 if a request names a room that
// none of the configured patterns allows. It must see all rooms of a request,
// the lobby that nobody names included.
func (h *Handler) refuseRooms(r *http.Request, rooms ...string) error {
	if len(h.patterns) == 0 {
		return nil
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	allowed := roompattern.Allowed(h.patterns, repl.GetString)
	for _, room := range rooms {
		if !allowed(room) {
			return caddyhttp.Error(http.StatusForbidden, fmt.Errorf("room %q is not allowed for this request", room))
		}
	}
	return nil
}

// checkRoomPatterns returns why the configured rooms are no patterns.
func (h *Handler) checkRoomPatterns() error {
	_, err := roompattern.ParseAll(h.Rooms)
	return err
}
