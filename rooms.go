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

// manyRooms returns the distinct rooms that a query names, or the lobby if it names
// none.
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
		// a copy, because the room would keep the request alive
		rooms = append(rooms, string([]byte(name)))
	}
	return rooms, nil
}

// roomRule is the rooms that requests may name, as patterns. Without a pattern it is
// all.
type roomRule []roompattern.Pattern

// check returns an error with status 403 if no pattern allows one of the rooms. It
// must be given all rooms of a request, an implied lobby included.
func (rule roomRule) check(r *http.Request, rooms ...string) error {
	if len(rule) == 0 {
		return nil
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	allowed := roompattern.Allowed(rule, repl.GetString)
	for _, room := range rooms {
		if !allowed(room) {
			return caddyhttp.Error(http.StatusForbidden, fmt.Errorf("room %q is not allowed for this request", room))
		}
	}
	return nil
}

// oneRoom returns the one room that a request names, or the lobby if it names none,
// and logs it. The error has the status 400 or 403.
func (rule roomRule) oneRoom(r *http.Request) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", badRequest(fmt.Errorf("query: %w", err))
	}
	room := store.Lobby
	if names, given := query["room"]; given {
		if len(names) > 1 {
			return "", badRequest(errors.New("room: given more than once"))
		}
		room = names[0]
		if err := wire.CheckRoom(room); err != nil {
			return "", badRequest(err)
		}
	}
	logRooms(r, room)
	return room, rule.check(r, room)
}
