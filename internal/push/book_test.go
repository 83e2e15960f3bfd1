package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// counting is a storage that counts what it is asked.
type counting struct {
	Storage

	loads, lists, writes atomic.Int64
}

func (c *counting) Load(ctx context.Context, key string) ([]byte, error) {
	c.loads.Add(1)
	return c.Storage.Load(ctx, key)
}

func (c *counting) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	c.lists.Add(1)
	return c.Storage.List(ctx, path, recursive)
}

func (c *counting) Store(ctx context.Context, key string, value []byte) error {
	c.writes.Add(1)
	return c.Storage.Store(ctx, key, value)
}

// take returns the counts since the last call.
func (c *counting) take() string {
	return fmt.Sprintf("%d loads, %d lists, %d writes", c.loads.Swap(0), c.lists.Swap(0), c.writes.Swap(0))
}

// now makes a book look at the storage, as after checkEvery.
func (b *book) now(t *testing.T) *book {
	t.Helper()
	b.checked = time.Time{}
	if err := b.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *book) endpoints(room string) (endpoints []string) {
	for _, sub := range b.in(room) {
		endpoints = append(endpoints, strings.TrimPrefix(sub.Endpoint, "https://push.example/"))
	}
	slices.Sort(endpoints)
	return endpoints
}

func (b *book) mustPut(t *testing.T, path string, change ...func(*Subscription)) *Subscription {
	t.Helper()
	sub := newSub(t, "https://push.example/"+path)
	sub.Made = time.Now().UnixMilli()
	for _, f := range change {
		f(sub)
	}
	if err := b.put(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	return sub
}

func wantEndpoints(t *testing.T, b *book, room string, want ...string) {
	t.Helper()
	if got := b.endpoints(room); !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", room, got, want)
	}
}

// What one node stores all nodes know, after two seconds or a restart.
func TestAllNodesKnowAllSubscriptions(t *testing.T) {
	storage := newStorage(t)
	a, b := newBook(storage, "default"), newBook(storage, "default")
	a.mustPut(t, "1")
	second := b.mustPut(t, "2", func(s *Subscription) { s.Rooms, s.Mentions = nil, []string{"tea", "coffee"} })
	wantEndpoints(t, a, "tea", "1") // it has just looked
	wantEndpoints(t, a.now(t), "tea", "1", "2")
	wantEndpoints(t, b.now(t), "tea", "1", "2")
	// other rooms and keys of the same endpoint
	b.mustPut(t, "1", func(s *Subscription) { s.Rooms = []string{"coffee"} })
	wantEndpoints(t, a.now(t), "tea", "2")
	wantEndpoints(t, a, "coffee", "1", "2")
	if a.size() != 2 || len(a.byKey) != 2 {
		t.Errorf("there are %d and %d subscriptions", a.size(), len(a.byKey))
	}
	if err := a.remove(t.Context(), second.Endpoint); err != nil {
		t.Fatal(err)
	}
	for _, book := range []*book{a, b.now(t), newBook(storage, "default").now(t)} {
		wantEndpoints(t, book, "tea")
		wantEndpoints(t, book, "coffee", "1")
	}
	wantEndpoints(t, newBook(storage, "other").now(t), "coffee")
}

// To know that nothing is new costs one small read, and to repeat a subscription nothing else.
func TestNothingNewCostsOneRead(t *testing.T) {
	storage := &counting{Storage: newStorage(t)}
	b := newBook(storage, "default")
	sub := b.mustPut(t, "1")
	b.now(t)
	for i := range 50 {
		b.mustPut(t, fmt.Sprint("more ", i), func(s *Subscription) { s.Owner = store.OwnerByName(fmt.Sprint(i)) })
	}
	b.now(t)
	storage.take()
	b.now(t)
	if got := storage.take(); got != "1 loads, 0 lists, 0 writes" {
		t.Errorf("to look costs %s", got)
	}
	if err := b.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.checked = time.Time{}
	again := *sub
	again.Made++
	if err := b.put(t.Context(), &again); err != nil {
		t.Fatal(err)
	}
	if got := storage.take(); got != "1 loads, 0 lists, 0 writes" {
		t.Errorf("to repeat a subscription costs %s", got)
	}
	// of another node
	newBook(storage.Storage, "default").mustPut(t, "2")
	b.now(t)
	if got := storage.take(); got != "2 loads, 1 lists, 0 writes" {
		t.Errorf("to learn of a new one costs %s", got)
	}
}

// Of an endpoint that two nodes store at the same time, the later subscription is kept, also
// in the storage.
func TestTwoNodesStoreOneEndpoint(t *testing.T) {
	storage := newStorage(t)
	a, b := newBook(storage, "default").now(t), newBook(storage, "default").now(t)
	a.mustPut(t, "1", func(s *Subscription) { s.Made, s.Rooms = 1, []string{"early"} })
	b.mustPut(t, "1", func(s *Subscription) { s.Made, s.Rooms = 2, []string{"late"} })
	c := newBook(storage, "default")
	for _, book := range []*book{a, b, c, newBook(storage, "default")} {
		book.now(t)
		wantEndpoints(t, book, "early")
		wantEndpoints(t, book, "late", "1")
	}
	if keys, err := storage.List(t.Context(), a.folder(), false); err != nil || len(keys) != 1 {
		t.Errorf("stored are %q, %v", keys, err)
	}
	if err := c.remove(t.Context(), "https://push.example/1"); err != nil {
		t.Fatal(err)
	}
	wantEndpoints(t, newBook(storage, "default").now(t), "early")
	// a clock that is behind
	a.now(t).mustPut(t, "2", func(s *Subscription) { s.Made, s.Rooms = 100, []string{"early"} })
	a.mustPut(t, "2", func(s *Subscription) { s.Made, s.Rooms = 50, []string{"late"} })
	wantEndpoints(t, newBook(storage, "default").now(t), "late", "2")
}

func TestLimitsOfSubscriptions(t *testing.T) {
	b := newBook(newStorage(t), "default")
	for i := range MaxPerPerson + 3 {
		b.mustPut(t, fmt.Sprintf("%02d", i), func(s *Subscription) { s.Made = int64(i) })
	}
	got := b.endpoints("tea")
	if len(got) != MaxPerPerson || got[0] != "03" || len(b.byKey) != MaxPerPerson {
		t.Errorf("a person has %q", got)
	}
	old := maxSubscriptions
	maxSubscriptions = MaxPerPerson + 1
	defer func() { maxSubscriptions = old }()
	b.mustPut(t, "lee", func(s *Subscription) { s.Owner = store.OwnerByName("lee") })
	sam := newSub(t, "https://push.example/sam")
	sam.Owner = store.OwnerByName("sam")
	if err := b.put(t.Context(), sam); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	b.mustPut(t, "lee", func(s *Subscription) { s.Owner, s.Rooms = store.OwnerByName("lee"), []string{"new"} })
	if err := b.removePerson(t.Context(), presence.PersonByName("kim")); err != nil {
		t.Error(err)
	}
	wantEndpoints(t, b, "tea")
	wantEndpoints(t, b, "new", "lee")
	if len(b.byOwner) != 1 || len(b.byRoom) != 1 {
		t.Errorf("there are %d owners and %d rooms", len(b.byOwner), len(b.byRoom))
	}
}

// What cannot be read is no subscription, and not read again; the rest is there.
func TestDamagedSubscriptions(t *testing.T) {
	files := newStorage(t)
	a := newBook(files, "default")
	good := a.mustPut(t, "1")
	forged, _ := json.Marshal(good)
	for key, value := range map[string]string{"empty": "", "text": "x", good.key() + "0": string(forged)} {
		if err := files.Store(t.Context(), a.path(key), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	storage := &counting{Storage: files}
	b := newBook(storage, "default").now(t)
	wantEndpoints(t, b, "tea", "1")
	if err := files.Store(t.Context(), b.markKey(), []byte("new")); err != nil {
		t.Fatal(err)
	}
	storage.take()
	b.now(t)
	if got := storage.take(); got != "1 loads, 1 lists, 0 writes" {
		t.Errorf("a look costs %s", got)
	}
}

// A hub's name is no path.
func TestFoldersOfHubs(t *testing.T) {
	seen := make(map[string]string)
	for _, hub := range []string{"default", "a-b_1", "..", ".", "A", "a", "차", "a.b", "hub.x"} {
		folder := folderOf(hub)
		if other := seen[strings.ToLower(folder)]; other != "" || strings.ContainsAny(folder, `/\`) || strings.Trim(folder, ".") == "" {
			t.Errorf("%q is stored in %q, as is %q", hub, folder, other)
		}
		seen[strings.ToLower(folder)] = hub
	}
	if folderOf("default") != "default" {
		t.Errorf("the hub default is stored in %q", folderOf("default"))
	}
}

func TestSubscriptionsAreChecked(t *testing.T) {
	const p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	const auth = "BTBZMqHH6r4Tts7J_aSIgg"
	body := func(endpoint, p256dh, auth string) string {
		return fmt.Sprintf(`{"endpoint":%q,"expirationTime":null,"keys":{"p256dh":%q,"auth":%q}}`, endpoint, p256dh, auth)
	}
	for _, good := range []string{
		body("https://push.example/a", p256dh, auth), body("https://push.example/a", p256dh+"=", auth+"=="),
		body("https://push.example/a", strings.NewReplacer("-", "+", "_", "/").Replace(p256dh), auth),
	} {
		sub, err := Decode([]byte(good))
		if err != nil || len(sub.P256dh) != 65 || len(sub.Auth) != 16 {
			t.Errorf("%s: %+v, %v", good, sub, err)
		}
	}
	for _, test := range []struct{ body, field string }{
		{``, "the body"},
		{`x`, "the body"},
		{`[]`, "the body"},
		{`"x"`, "the body"},
		{`{} {}`, "the body"},
		{`null`, "endpoint"},
		{`{}`, "endpoint"},
		{`{"endpoint":1}`, "endpoint"},
		{`{"endpoint":"https://push.example/"}`, "keys"},
		{`{"endpoint":"https://push.example/","keys":[]}`, "keys"},
		{`{"endpoint":"https://push.example/","keys":{}}`, "keys.p256dh"},
		{`{"endpoint":"https://push.example/","keys":{"p256dh":1}}`, "keys.p256dh"},
		{body("http://push.example/a", p256dh, auth), "endpoint"},
		{body("", p256dh, auth), "endpoint"},
		{body("https://10.0.0.1/", p256dh, auth), "endpoint"},
		{body("https://push.example/a", "", auth), "keys.p256dh"},
		{body("https://push.example/a", p256dh[:40], auth), "keys.p256dh"},
		{body("https://push.example/a", strings.Repeat("A", 87), auth), "keys.p256dh"},
		{body("https://push.example/a", "!", auth), "keys.p256dh"},
		{body("https://push.example/a", p256dh, ""), "keys.auth"},
		{body("https://push.example/a", p256dh, "AAAA"), "keys.auth"},
		{body("https://push.example/a", p256dh, "?"), "keys.auth"},
		{fmt.Sprintf(`{"endpoint":"https://push.example/","keys":{"p256dh":%q}}`, p256dh), "keys.auth"},
	} {
		if _, err := Decode([]byte(test.body)); err == nil || !strings.HasPrefix(err.Error(), test.field) {
			t.Errorf("%s: %v, want an error about %s", test.body, err, test.field)
		}
	}
}

// A subscription of which the others could not be told is told by its repeat.
func TestOthersAreToldLater(t *testing.T) {
	files := newStorage(t)
	storage := &fragile{Storage: files}
	a, b := newBook(storage, "default").now(t), newBook(files, "default").now(t)
	storage.only(a.markKey(), io.ErrUnexpectedEOF)
	sub := newSub(t, "https://push.example/1")
	if err := a.put(t.Context(), sub); err == nil {
		t.Error("nobody could be told, and there is no error")
	}
	wantEndpoints(t, b.now(t), "tea")
	storage.only("", nil)
	if err := a.put(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	wantEndpoints(t, b.now(t), "tea", "1")
}

// A browser that goes back to the rooms it had before keeps its subscription, at all nodes.
func TestRoomsThatComeBack(t *testing.T) {
	storage := newStorage(t)
	a, b := newBook(storage, "default"), newBook(storage, "default")
	tea := a.mustPut(t, "1")
	put := func(b *book, room string) {
		t.Helper()
		sub := *tea
		sub.Rooms = []string{room}
		if err := b.put(t.Context(), &sub); err != nil {
			t.Fatal(err)
		}
	}
	put(a, "coffee")
	put(a, "tea")
	for _, book := range []*book{a, b, newBook(storage, "default")} {
		wantEndpoints(t, book.now(t), "tea", "1")
		wantEndpoints(t, book, "coffee")
	}
	put(b, "coffee")
	wantEndpoints(t, a.now(t), "coffee", "1")
	put(b, "tea")
	wantEndpoints(t, a.now(t), "tea", "1")
	wantEndpoints(t, newBook(storage, "default").now(t), "tea", "1")
	if len(a.byKey) != 1 || len(a.outdated) != 0 {
		t.Errorf("known are %v, outdated %v", a.byKey, a.outdated)
	}
}

// A browser that goes from node to node has what it asked for last.
func TestRoomsThatChangeAtTwoNodes(t *testing.T) {
	storage := newStorage(t)
	a, b := newBook(storage, "default"), newBook(storage, "default")
	tea := a.mustPut(t, "1")
	b.now(t)
	for i, book := range []*book{b, a, b, a} {
		sub := *tea
		sub.Rooms = []string{[]string{"coffee", "tea"}[i%2]}
		if err := book.put(t.Context(), &sub); err != nil {
			t.Fatal(err)
		}
		fresh := newBook(storage, "default").now(t)
		wantEndpoints(t, fresh, sub.Rooms[0], "1")
		if fresh.size() != 1 {
			t.Errorf("there are %d subscriptions", fresh.size())
		}
	}
}

// hasty is a storage in which files vanish while their folder is listed.
type hasty struct {
	Storage

	times, left int // how often, and how many paths are listed before that
}

func (h *hasty) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	paths, err := h.Storage.List(ctx, path, recursive)
	if h.times == 0 {
		return paths, err
	}
	h.times--
	return paths[:h.left], fmt.Errorf("walking: %w", fs.ErrNotExist)
}

// A list that is not whole is not taken for all that there is.
func TestFilesThatVanishFromAList(t *testing.T) {
	files := newStorage(t)
	a := newBook(files, "default")
	for i := range 5 {
		a.mustPut(t, fmt.Sprint(i))
	}
	for _, left := range []int{0, 3} {
		wantEndpoints(t, newBook(&hasty{files, 2, left}, "default").now(t), "tea", "0", "1", "2", "3", "4")
	}
	storage := &hasty{Storage: files}
	b := newBook(storage, "default").now(t)
	a.mustPut(t, "5")
	storage.times, storage.left = listTries, 2
	b.checked = time.Time{}
	if err := b.refresh(t.Context()); err == nil {
		t.Error("no list is whole, and there is no error")
	}
	wantEndpoints(t, b, "tea", "0", "1", "2", "3", "4")
	wantEndpoints(t, b.now(t), "tea", "0", "1", "2", "3", "4", "5")
}
