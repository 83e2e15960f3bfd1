package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// What a request may name is looked at for each endpoint, and for all rooms
// of a request.
func TestRoomsOfARequest(t *testing.T) {
	s := caddytest.Serve(t, "rooms lobby open-* inbox-{http.request.header.X-User}\nname {http.request.header.X-User}")
	const kim = "X-User: kim"
	for _, test := range []struct {
		query  string
		status int
		header []string
	}{
		{"", 200, nil},
		{"room=lobby", 200, nil},
		{"room=open-1", 200, nil},
		{"room=%6fpen-1", 200, nil},
		{"room=inbox-kim", 200, []string{kim}},
		{"room=staff", 403, nil},
		{"room=%73taff", 403, nil},
		{"room=%2a", 400, nil},
		{"room=open-%2a", 400, nil},
		{"room=inbox-", 403, nil},
		{"room=inbox-kim", 403, nil},
		{"room=inbox-lee", 403, []string{kim}},
		{"room=inbox-lee", 403, []string{"X-User: *"}},
		{"room=inbox-%2a", 400, []string{"X-User: *"}},
		{"room=Lobby", 403, nil},
		{"x=1;room=open-1", 400, nil},
		{"room=staff&%zz", 400, nil},
	} {
		for _, to := range endpoints {
			status := status(t, s, to.method, to.path+"?"+test.query, to.body, test.header...)
			if status != test.status {
				t.Errorf("%s %s?%s with %v: %d, want %d", to.method, to.path, test.query, test.header, status, test.status)
			}
		}
	}
	for _, query := range []string{"room=open-1&room=staff", "room=staff&room=open-1", "room=lobby&room=open-1&room=%73taff"} {
		a := s.Do(t, http.MethodGet, "/subscribe?"+query, "")
		if want := `room "staff" is not allowed for this request`; a.Status != http.StatusForbidden || a.ErrorText(t) != want {
			t.Errorf("%s: %d %s, want %s", query, a.Status, a.Body, want)
		}
		if a := s.Do(t, http.MethodHead, "/subscribe?"+query, ""); a.Status != http.StatusForbidden {
			t.Errorf("HEAD %s: %d", query, a.Status)
		}
	}
	s.Stream(t, "/subscribe?room=open-1&room=open-2&room=lobby&room=inbox-kim", kim).Until(t, ":ok\n")
}

// The lobby is a room that has to be allowed like any other.
func TestTheLobbyMayBeShut(t *testing.T) {
	s := caddytest.Serve(t, "rooms tea")
	for _, to := range endpoints {
		for _, query := range []string{"", "?room=lobby", "?x=room"} {
			if status := status(t, s, to.method, to.path+query, to.body); status != http.StatusForbidden {
				t.Errorf("%s %s%s: %d", to.method, to.path, query, status)
			}
		}
		if status := status(t, s, to.method, to.path+"?room=tea", to.body); status != http.StatusOK {
			t.Errorf("%s %s?room=tea: %d", to.method, to.path, status)
		}
	}
}

// status returns the status of an answer, of a stream's too.
func status(t *testing.T, s *chattest.Site, method, path, body string, header ...string) int {
	t.Helper()
	if method == http.MethodGet && strings.HasPrefix(path, "/subscribe") {
		c := s.Stream(t, path, header...)
		defer c.Close()
		return c.Response.StatusCode
	}
	return s.Do(t, method, path, body, header...).Status
}

// Members read the staff's room too, all others the open ones, and each their
// own inbox, though both come to the same hub.
func TestTwoHandlersOfOneHubHaveTheirOwnRooms(t *testing.T) {
	s := caddytest.ServeSite(t, `
		@staff {
			query room=staff
			header X-Member yes
		}
		sse_chat @staff
		sse_chat {
			rooms lobby open-*
		}`)
	const member = "X-Member: yes"
	for _, to := range endpoints {
		for query, want := range map[string][2]int{ // of a member, of others
			"":             {200, 200},
			"room=open-1":  {200, 200},
			"room=staff":   {200, 403},
			"room=%73taff": {200, 403},
			"room=other":   {403, 403},
		} {
			for i, header := range [][]string{{member}, nil} {
				if status := status(t, s, to.method, to.path+"?"+query, to.body, header...); status != want[i] {
					t.Errorf("%s %s?%s with %v: %d, want %d", to.method, to.path, query, header, status, want[i])
				}
			}
		}
	}
	if status := status(t, s, http.MethodGet, "/subscribe?room=open-1&room=staff", ""); status != http.StatusForbidden {
		t.Errorf("staff beside another room: %d", status)
	}
	both := s.Stream(t, "/subscribe?room=open-1&room=staff", member)
	open := s.Stream(t, "/subscribe?room=open-1")
	s.Do(t, http.MethodPost, "/update?room=staff", `{"text":"secret"}`, member)
	m := s.Post(t, "/update?room=open-1", "for all")
	both.Until(t, "secret")
	if got := open.Next(t).Message(t); got != m {
		t.Errorf("got %+v, want %+v", got, m)
	}
}

// One who names a room that it may not is no page of another origin.
func TestRefusedRoomsAreCountedAsInvalid(t *testing.T) {
	s := caddytest.Serve(t, "rooms tea")
	for i := range 3 {
		s.Do(t, http.MethodPost, fmt.Sprintf("/update?room=r%d", i), `{"text":"x"}`)
	}
	s.Do(t, http.MethodPost, "/update?room=tea", `{"text":"x"}`, "Origin: https://evil.example")
	rejected := caddytest.Hub(t, "default").Counters.Rejected
	if rejected[hub.RejectInvalid] != 3 || rejected[hub.RejectCrossOrigin] != 1 {
		t.Errorf("counted are %v", rejected)
	}
}
