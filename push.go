package ssechat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/bodytime"
	"github.com/sse-chat/caddy-sse-chat/internal/push"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	pushPath = "/push"
	// maxPushBody is how long the body of a request to /push may be, in bytes.
	maxPushBody = 4 << 10
	// fullRetryAfter is the Retry-After when the hub has too many subscriptions.
	fullRetryAfter = time.Hour
)

// pushRate limits the subscriptions of a client where the configuration sets no rate.
var pushRate = &Rate{Messages: 30, Window: caddy.Duration(time.Minute)}

// pushPath returns the path for subscriptions, or "" if there is none.
func (h *Handler) pushPath() string {
	if h.Push == "" {
		return ""
	}
	return pushPath
}

// methods returns the methods of all endpoints.
func (h *Handler) methods() []string {
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete}
	if h.Push != "" {
		methods = append(methods, http.MethodPut)
	}
	return methods
}

func (h *Handler) checkPush() error {
	if h.Push == "" {
		return nil
	}
	if err := push.CheckContact(h.Push); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return nil
}

// senders holds the senders in use, so that a reload keeps waiting pushes and the time of each last push. Handlers of one hub share one.
var senders = caddy.NewUsagePool() // *hubSender by hubKey

// hubSender is the sender of a hub.
type hubSender struct {
	*push.Sender
	hub *openHub
}

// Destruct implements [caddy.Destructor].
func (s *hubSender) Destruct() error {
	s.hub.push.CompareAndSwap(s.Sender, nil)
	s.hub.Unfollow(s.Sender)
	s.Close()
	return nil
}

// pushUse is a handler's use of a sender.
type pushUse struct {
	key   hubKey
	leave func()
	rate  *allowance // for subscriptions; nil if that of messages counts
}

func (u *pushUse) release() {
	if u == nil {
		return
	}
	u.rate.release()
	u.leave()
	_, _ = senders.Delete(u.key) // the destructor returns no error
}

// addPush sets up the endpoint for subscriptions, and the hub's sender. It does not touch the
// storage, because the configuration may be validated without being used.
func (h *Handler) addPush(ctx caddy.Context, rooms roomRule) {
	if h.Push == "" {
		return
	}
	key, open := h.life.claim.key, h.life.claim.hub
	shared, _, _ := senders.LoadOrNew(key, func() (caddy.Destructor, error) {
		sender := push.NewSender(key.name, open.Standings)
		open.Follow(sender)
		return &hubSender{sender, open}, nil
	})
	sender := shared.(*hubSender).Sender
	use := &pushUse{key: key, leave: sender.Use(ctx.Storage(), h.Push, h.logger)}
	h.life.push = use
	open.push.Store(sender)
	rate := h.life.rate
	if rate == nil {
		use.rate = newAllowance("push of "+h.Hub, pushRate) // no hub has such a name
		rate = use.rate
	}
	e := &pushEndpoint{sender: sender, rooms: rooms, authors: &authorRule{option: h.Name, logger: h.logger}, rate: rate, logger: h.logger, hub: open}
	h.endpoints[pushPath] = endpoint{methods: []string{http.MethodGet, http.MethodPut, http.MethodDelete}, serve: e.serve}
}

// pushEndpoint answers GET, PUT and DELETE /push.
type pushEndpoint struct {
	sender  *push.Sender
	rooms   roomRule
	authors *authorRule
	rate    *allowance
	logger  *zap.Logger
	hub     *openHub
	failing atomic.Bool // the storage, when it was last used
}

// serve answers a request.
func (e *pushEndpoint) serve(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodPut:
		return e.put(w, r)
	case http.MethodDelete:
		return e.delete(w, r)
	}
	bodytime.LeaveUnread(w, r)
	key, err := e.sender.Key(r.Context())
	if err := e.storageError(err); err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"key": key})
}

// put stores a subscription.
func (e *pushEndpoint) put(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest(fmt.Errorf("query: %w", err))
	}
	rooms, mentions, err := subscribedRooms(query)
	if err != nil {
		return badRequest(err)
	}
	all := slices.Concat(rooms, mentions)
	logRooms(r, all...)
	if err := e.rooms.check(r, all...); err != nil {
		return err
	}
	by, err := e.authors.author(r)
	if err != nil {
		return err
	}
	if by.owner == "" {
		return caddyhttp.Error(http.StatusForbidden, errors.New("give an author's key, or log in: a subscription belongs to somebody"))
	}
	if by.named && e.hub.IsKicked(by.name) {
		return caddyhttp.Error(http.StatusForbidden, fmt.Errorf("the name %q was kicked", by.name))
	}
	name := ""
	if len(mentions) > 0 {
		if name, err = nameOf(&by, query); err != nil {
			return badRequest(err)
		}
	}
	body, err := readPushBody(w, r)
	if err != nil {
		return err
	}
	sub, err := push.Decode(body)
	if err != nil {
		return badRequest(err)
	}
	sub.Owner, sub.Rooms, sub.Mentions, sub.Name = by.owner, rooms, mentions, name
	give, err := e.rate.take(r)
	if err != nil {
		return err
	}
	err = e.sender.Put(context.WithoutCancel(r.Context()), sub)
	give(store.Receipt{}, err)
	if err := e.storageError(err); err != nil {
		return err
	}
	return writeJSON(w, struct {
		Rooms    []string `json:"rooms"`
		Mentions []string `json:"mentions"`
	}{sub.Rooms, sub.Mentions})
}

// subscribedRooms returns the rooms that a query names with room, the lobby if there are none.
// Of those that mentions names too, only mentions are pushed. All are in room, because that is
// what matchers of the site look at.
func subscribedRooms(query url.Values) (rooms, mentions []string, err error) {
	all, err := manyRooms(query)
	if err != nil {
		return nil, nil, err
	}
	for _, room := range query["mentions"] {
		if !slices.Contains(all, room) {
			return nil, nil, fmt.Errorf("mentions: %.100q is not among the rooms: name it with room too", room)
		}
	}
	rooms, mentions = []string{}, []string{} // not null in the answer
	for _, room := range all {
		if slices.Contains(query["mentions"], room) {
			mentions = append(mentions, room)
		} else {
			rooms = append(rooms, room)
		}
	}
	return rooms, mentions, nil
}

// nameOf returns the name by which a subscriber is mentioned.
func nameOf(by *author, query url.Values) (string, error) {
	if by.named {
		return by.name, nil
	}
	name := query.Get("name")
	if name == "" {
		return "", errors.New("name: missing; give the name by which the subscriber is mentioned")
	}
	if err := wire.CheckName(name); err != nil {
		return "", err
	}
	return name, nil
}

// delete forgets a subscription. It asks for no key, because nobody else knows the endpoint.
func (e *pushEndpoint) delete(w http.ResponseWriter, r *http.Request) error {
	body, err := readPushBody(w, r)
	if err != nil {
		return err
	}
	endpoint, err := push.DecodeEndpoint(body)
	if err != nil {
		return badRequest(err)
	}
	give, err := e.rate.take(r)
	if err != nil {
		return err
	}
	err = e.sender.Forget(context.WithoutCancel(r.Context()), endpoint)
	give(store.Receipt{}, err)
	if err := e.storageError(err); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}

func readPushBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := refuseEncodings(w, r.Header); err != nil {
		return nil, err
	}
	return readBody(w, r, maxPushBody)
}

// errStorage is the error for clients if Caddy's storage fails. It hides the cause, which may
// contain paths and addresses.
var errStorage = errors.New("push: subscriptions cannot be read or stored now; try again")

// storageError returns the answer for the result of using the storage, nil for success. The
// cause of a failure is logged once, until the storage works again.
func (e *pushEndpoint) storageError(err error) error {
	if err == nil {
		e.failing.Store(false)
		return nil
	}
	if errors.Is(err, push.ErrFull) {
		return retryAfter(http.StatusServiceUnavailable, fullRetryAfter, &unstoredError{fmt.Errorf("push: %w", err)})
	}
	if !e.failing.Swap(true) {
		e.logger.Error("push: storage failed; clients that subscribe get 503 until it works again", zap.Error(err))
	}
	return retryAfter(http.StatusServiceUnavailable, storeRetryAfter, &unstoredError{errStorage})
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeAnswer(w, http.StatusOK, "application/json", body)
}
