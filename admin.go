package ssechat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

func init() {
	caddy.RegisterModule(admin{})
}

// admin adds routes for operators and moderators to Caddy's admin API:
//
//	GET    /sse_chat/hubs                            lists the hubs and their counters
//	GET    /sse_chat/hubs/<hub>/rooms                lists the rooms of a hub
//	DELETE /sse_chat/hubs/<hub>/rooms/<room>         forgets a room's messages
//	DELETE /sse_chat/hubs/<hub>/messages/<id>        deletes a message, also from pages that show it
//	DELETE /sse_chat/hubs/<hub>/subscribers?name=…   ends the streams of a name and keeps it out for a minute
//	DELETE /sse_chat/hubs/<hub>/subscribers?room=…   ends the streams of a room as a reload does; clients reconnect
//	DELETE /sse_chat/hubs/<hub>/subscribers?all      ends all streams of the hub in the same way
//	DELETE /sse_chat/hubs/<hub>/push?name=…          forgets the push subscriptions of a name, ?author=… those of an author's key
type admin struct{}

// CaddyModule returns the Caddy module information.
func (admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.sse_chat",
		New: func() caddy.Module { return new(admin) },
	}
}

// Routes implements [caddy.AdminRouter]. The routes look hubs up per request,
// because the API is set up before there are any.
func (admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/sse_chat/hubs", Handler: adminRoute{http.MethodGet: listHubs}},
		{Pattern: "/sse_chat/hubs/{hub}/rooms", Handler: adminRoute{http.MethodGet: withHub(listRooms), http.MethodDelete: withHub(forgetRoom)}},
		{Pattern: "/sse_chat/hubs/{hub}/rooms/{room}", Handler: adminRoute{http.MethodDelete: withHub(forgetRoom)}},
		{Pattern: "/sse_chat/hubs/{hub}/messages/{id}", Handler: adminRoute{http.MethodDelete: withHub(deleteMessage)}},
		{Pattern: "/sse_chat/hubs/{hub}/subscribers", Handler: adminRoute{http.MethodDelete: withHub(endSubscribers)}},
		{Pattern: "/sse_chat/hubs/{hub}/push", Handler: adminRoute{http.MethodDelete: forgetSubscriptions}},
	}
}

// adminRoute answers one path, by method.
type adminRoute map[string]caddy.AdminHandlerFunc

// ServeHTTP implements [caddy.AdminHandler].
func (route adminRoute) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	serve, ok := route[r.Method]
	if !ok {
		allow := slices.Sorted(maps.Keys(route))
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return apiError(http.StatusMethodNotAllowed, fmt.Errorf("method %s is not allowed here", r.Method))
	}
	return serve(w, r)
}

func withHub(serve func(http.ResponseWriter, *http.Request, *hub.Hub) error) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		c := findHub(r.PathValue("hub"))
		if c == nil {
			return apiError(http.StatusNotFound, fmt.Errorf("no hub %q is open", r.PathValue("hub")))
		}
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		defer cancel()
		return serve(w, r.WithContext(ctx), c.hub.Hub)
	}
}

// hubStatus is a hub as the admin API shows it.
type hubStatus struct {
	Name        string      `json:"name"`
	Store       string      `json:"store"`
	StoreUp     bool        `json:"store_up"`
	Rooms       int         `json:"rooms"`
	Subscribers int64       `json:"subscribers"`
	Counters    hubCounters `json:"counters"`
}

// hubCounters are the counters of the metrics.
type hubCounters struct {
	Published     uint64            `json:"messages_published"`
	Changed       map[string]uint64 `json:"messages_changed"`
	Delivered     uint64            `json:"messages_delivered"`
	Replayed      uint64            `json:"replayed"`
	StreamsOpened uint64            `json:"streams_opened"`
	StreamsClosed map[string]uint64 `json:"streams_closed"`
	Refused       map[string]uint64 `json:"streams_refused"`
	Rejected      map[string]uint64 `json:"publish_rejected"`
	Gaps          map[string]uint64 `json:"gaps"`
}

func listHubs(w http.ResponseWriter, _ *http.Request) error {
	open := openHubs()
	list := make([]hubStatus, 0, len(open))
	for _, hub := range open {
		c := &hub.hub.Counts
		delivered, replayed := c.Delivered()
		list = append(list, hubStatus{
			Name:        hub.key.name,
			Store:       hub.key.place,
			StoreUp:     hub.hub.StoreUp(),
			Rooms:       hub.hub.RoomsRead(),
			Subscribers: c.Subscribers.Load(),
			Counters: hubCounters{
				Published:     c.Published.Load(),
				Changed:       c.Changed.ByReason(),
				Delivered:     delivered,
				Replayed:      replayed,
				StreamsOpened: c.Opened.Load(),
				StreamsClosed: c.Closed.ByReason(),
				Refused:       c.Refused.ByReason(),
				Rejected:      c.Rejected.ByReason(),
				Gaps:          c.Gaps.ByReason(),
			},
		})
	}
	slices.SortFunc(list, func(a, b hubStatus) int { return strings.Compare(a.Name, b.Name) })
	return answerJSON(w, list)
}

func listRooms(w http.ResponseWriter, r *http.Request, b *hub.Hub) error {
	rooms, err := b.ListRooms(r.Context())
	if err != nil {
		return apiError(http.StatusServiceUnavailable, fmt.Errorf("listing the rooms: %w", err))
	}
	return answerJSON(w, rooms)
}

// forgetRoom forgets the room in the path, or in the query, because a path cannot
// end in the names "." and "..".
func forgetRoom(w http.ResponseWriter, r *http.Request, b *hub.Hub) error {
	room := r.PathValue("room")
	if room == "" {
		room = r.URL.Query().Get("room")
	}
	if err := wire.CheckRoom(room); err != nil {
		return apiError(http.StatusBadRequest, err)
	}
	if err := b.Forget(r.Context(), room); err != nil {
		return apiError(http.StatusServiceUnavailable, fmt.Errorf("forgetting room %q: %w", room, err))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func deleteMessage(w http.ResponseWriter, r *http.Request, b *hub.Hub) error {
	id, err := store.ParseID(r.PathValue("id"))
	if err != nil { // an invalid id has no message
		return apiError(http.StatusNotFound, fmt.Errorf("no such message: %w", err))
	}
	switch err := b.Delete(r.Context(), id); {
	case errors.Is(err, store.ErrNotFound):
		return apiError(http.StatusNotFound, fmt.Errorf("message %s: %w", id, err))
	case err != nil:
		return apiError(http.StatusServiceUnavailable, fmt.Errorf("deleting message %s: %w", id, err))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// endSubscribers ends the streams of a name, of a room, or all.
func endSubscribers(w http.ResponseWriter, r *http.Request, b *hub.Hub) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return apiError(http.StatusBadRequest, fmt.Errorf("query: %w", err))
	}
	if len(query["name"])+len(query["room"])+len(query["all"]) != 1 {
		return apiError(http.StatusBadRequest, errors.New("give exactly one of ?name=, ?room= and ?all"))
	}
	switch {
	case query.Has("name"):
		err = kickName(b, query.Get("name"))
	case query.Has("room"):
		err = endRoom(b, query.Get("room"))
	default:
		err = endAll(b, query.Get("all"))
	}
	if err != nil {
		return apiError(http.StatusBadRequest, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// forgetSubscriptions forgets the push subscriptions of a person on all nodes.
func forgetSubscriptions(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return apiError(http.StatusBadRequest, fmt.Errorf("query: %w", err))
	}
	name, author := query.Get("name"), query.Get("author")
	person := author
	switch {
	case len(query["name"])+len(query["author"]) != 1 || name+author == "":
		return apiError(http.StatusBadRequest, errors.New("give exactly one of ?name= and ?author="))
	case name != "":
		if err := wire.CheckName(name); err != nil {
			return apiError(http.StatusBadRequest, err)
		}
		person = presence.PersonByName(name)
	case !authorTag.MatchString(author):
		return apiError(http.StatusBadRequest, fmt.Errorf("author: %.40q is not an author's tag", author))
	}
	c := findHub(r.PathValue("hub"))
	if c == nil || c.hub.push.Load() == nil {
		return apiError(http.StatusNotFound, fmt.Errorf("no hub %q with the option push is open", r.PathValue("hub")))
	}
	if err := c.hub.push.Load().ForgetPerson(r.Context(), person); err != nil {
		return apiError(http.StatusServiceUnavailable, fmt.Errorf("forgetting subscriptions: %w", err))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func kickName(b *hub.Hub, name string) error {
	if name == "" {
		return errors.New("?name= must not be empty")
	}
	if err := wire.CheckName(name); err != nil {
		return err
	}
	b.Kick(name)
	return nil
}

func endRoom(b *hub.Hub, room string) error {
	if err := wire.CheckRoom(room); err != nil {
		return err
	}
	b.EndStreams(room)
	return nil
}

func endAll(b *hub.Hub, value string) error {
	if value != "" { // "false" and "0" would look like no
		return fmt.Errorf("all: %q is not allowed: ?all takes no value", value)
	}
	b.EndStreams("")
	return nil
}

func apiError(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

func answerJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// Interface guards
var (
	_ caddy.AdminRouter  = admin{}
	_ caddy.AdminHandler = adminRoute{}
)
