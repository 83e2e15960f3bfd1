package recipes

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

func TestLogin(t *testing.T) {
	url := freeURL(t)
	runCaddy(t, url, recipe(t, "login.Caddyfile", "chat.example.com", url))
	kim, lee := login("kim", "hiccup"), login("lee", "sneeze")

	for _, path := range []string{"/", "/subscribe", "/history"} {
		want(t, http.StatusUnauthorized, http.MethodGet, url+path, "")
		want(t, http.StatusUnauthorized, http.MethodGet, url+path, "", login("kim", "sneeze"))
	}
	want(t, http.StatusUnauthorized, http.MethodPost, url+"/update", text("x"))

	want(t, http.StatusOK, http.MethodGet, url+"/", "", kim)
	s := subscribe(t, url+"/subscribe?events=1&name=lee", kim)
	s.Line(t, `"names":["kim"]`) // not the name that the client gives
	a := want(t, http.StatusOK, http.MethodPost, url+"/update", `{"text":"hi","name":"kim"}`, lee)
	if !strings.Contains(a.Body, `"name":"lee"`) {
		t.Errorf("the author is not the login: %s", a.Body)
	}
	s.Line(t, `"name":"lee"`)
}

func TestMembersOnlyRoom(t *testing.T) {
	url := freeURL(t)
	runCaddy(t, url, recipe(t, "members.Caddyfile", "chat.example.com", url))
	kim := login("kim", "hiccup")

	for _, query := range []string{"room=staff", "room=%73taff", "room=lobby&room=staff", "room=staff&room=lobby", "x=1&room=staff"} {
		want(t, http.StatusUnauthorized, http.MethodGet, url+"/subscribe?"+query, "")
		want(t, http.StatusUnauthorized, http.MethodGet, url+"/%73ubscribe?"+query, "")
		want(t, http.StatusUnauthorized, http.MethodGet, url+"/history?"+query, "")
		want(t, http.StatusUnauthorized, http.MethodPost, url+"/update?"+query, text("x"))
	}
	// the chat refuses what the matcher cannot parse
	for _, query := range []string{"room=staff;x", "room=staff&%zz", "room=staff%20", "room=%00staff"} {
		want(t, http.StatusBadRequest, http.MethodGet, url+"/subscribe?"+query, "")
		want(t, http.StatusBadRequest, http.MethodGet, url+"/history?"+query, "")
		want(t, http.StatusBadRequest, http.MethodPost, url+"/update?"+query, text("x"))
	}

	// an unlisted room is closed, also together with another one
	for _, query := range []string{"room=board", "room=lobby&room=board", "room=open", "room=Staff", "room=staff."} {
		wantRooms(t, http.StatusForbidden, url, query)
		wantRooms(t, http.StatusForbidden, url, query, kim)
	}
	wantRooms(t, http.StatusForbidden, url, "room=staff&room=board", kim)
	wantRooms(t, http.StatusForbidden, url, "room=board&room=%73taff", kim)
	for _, query := range []string{"", "room=lobby", "room=open-tea", "room=%6fpen-tea"} {
		wantRooms(t, http.StatusOK, url, query)
	}
	wantRooms(t, http.StatusOK, url, "room=staff", kim)

	member, visitor := subscribe(t, url+"/subscribe?room=staff&room=lobby", kim), subscribe(t, url+"/subscribe")
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=staff", `{"text":"secret","name":"boss"}`, kim)
	if line := member.Line(t, "secret"); !strings.Contains(line, `"name":"kim"`) {
		t.Errorf("the author is not the login: %s", line)
	}
	want(t, http.StatusOK, http.MethodPost, url+"/update", `{"text":"open","name":"guest"}`)
	member.Line(t, "open")
	if line := visitor.Line(t, "data:"); !strings.Contains(line, `"open"`) || !strings.Contains(line, `"name":"guest"`) {
		t.Errorf("a visitor got %s", line)
	}
}

// wantRooms fails unless a request for rooms gets that status from each endpoint;
// endpoints that take one room are not tried with several.
func wantRooms(t *testing.T, status int, url, query string, header ...string) {
	t.Helper()
	want(t, status, http.MethodHead, url+"/subscribe?"+query, "", header...)
	if status != http.StatusOK {
		want(t, status, http.MethodGet, url+"/subscribe?"+query, "", header...)
	}
	if strings.Count(query, "room=") > 1 {
		return
	}
	want(t, status, http.MethodGet, url+"/history?"+query, "", header...)
	want(t, status, http.MethodPost, url+"/update?"+query, text("x"), header...)
}

func TestAnnouncements(t *testing.T) {
	url := freeURL(t)
	caddyfile := recipe(t, "announcements.Caddyfile", "chat.example.com", url)
	runCaddy(t, url, caddyfile, "NEWS_TOKEN=s3cret")
	const token = "Authorization: Bearer s3cret"

	s := subscribe(t, url+"/subscribe?room=news&room=lobby")
	for _, path := range []string{"/update?room=news", "/%75pdate?room=news", "/update?room=%6eews", "/update?room=other"} {
		for _, header := range []string{"X: none", "Authorization: Bearer", "Authorization: Bearer wrong", "Authorization: Bearer s3cret2", "Authorization: Basic s3cret"} {
			want(t, http.StatusForbidden, http.MethodPost, url+path, text("fake"), header)
		}
	}
	want(t, http.StatusBadRequest, http.MethodPost, url+"/update?room=news&room=lobby", text("fake"))
	want(t, http.StatusBadRequest, http.MethodPost, url+"/update?room=lobby&room=news", text("fake"))
	want(t, http.StatusNotFound, http.MethodPost, url+"//update?room=news", text("fake"))
	want(t, http.StatusNotFound, http.MethodPost, url+"/UPDATE?room=news", text("fake"))
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=news", text("real"), token)
	if line := s.Line(t, "data:"); !strings.Contains(line, "real") {
		t.Errorf("a reader got %s", line)
	}
	want(t, http.StatusOK, http.MethodPost, url+"/update", text("in the lobby"))
	want(t, http.StatusOK, http.MethodGet, url+"/history?room=news", "")
	want(t, http.StatusOK, http.MethodGet, url+"/", "")
	// nobody can read the newsroom's other rooms
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=draft", text("not yet"), token)
	for _, path := range []string{"/subscribe?room=draft", "/subscribe?room=news&room=draft", "/subscribe?room=%64raft", "/history?room=draft"} {
		want(t, http.StatusForbidden, http.MethodGet, url+path, "")
		want(t, http.StatusForbidden, http.MethodGet, url+path, "", token)
	}
}

// If the token is not set, nobody can write, not even over HTTP/2, which keeps
// white space at the end of a header field.
func TestWithoutToken(t *testing.T) {
	for name, r := range map[string]struct {
		env, room string
		status    int
	}{
		"announcements.Caddyfile": {"NEWS_TOKEN=", "news", http.StatusForbidden},
		"inbox.Caddyfile":         {"INBOX_TOKEN=", "inbox-kim", http.StatusNotFound},
	} {
		port := chattest.FreePort(t)
		url := "https://localhost:" + port
		runCaddy(t, url, recipe(t, name, "chat.example.com", "localhost:"+port), r.env)
		config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the certificate is the test's own
		h2 := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer h2.CloseIdleConnections()
		for _, client := range []*http.Client{client, {Transport: h2}} {
			for _, header := range []string{"X: none", "Authorization: Bearer", "Authorization: Bearer ", "Authorization: Bearer  "} {
				if a := doWith(t, client, http.MethodPost, url+"/update?room="+r.room, text("fake"), header); a.Status != r.status {
					t.Errorf("%s with %q: %d %s", name, header, a.Status, a.Body)
				}
			}
		}
	}
}

// Each user can read only their own inbox, and programs with the token can write
// to all.
func TestInboxes(t *testing.T) {
	url := freeURL(t)
	runCaddy(t, url, recipe(t, "inbox.Caddyfile", "chat.example.com", url), "INBOX_TOKEN=s3cret")
	kim, lee := login("kim", "hiccup"), login("lee", "sneeze")
	const token = "Authorization: Bearer s3cret"

	s := subscribe(t, url+"/subscribe?room=inbox-kim", kim)
	for _, query := range []string{"", "room=lobby", "room=inbox-lee", "room=inbox-%6cee", "room=inbox-", "room=inbox-kim2", "room=inbox-kim&room=inbox-lee", "room=inbox-lee&room=inbox-kim"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			want(t, http.StatusForbidden, method, url+"/subscribe?"+query, "", kim)
			want(t, http.StatusUnauthorized, method, url+"/subscribe?"+query, "")
			want(t, http.StatusUnauthorized, method, url+"/subscribe?"+query, "", token)
		}
		if strings.Count(query, "room=") < 2 {
			want(t, http.StatusForbidden, http.MethodGet, url+"/history?"+query, "", kim)
			want(t, http.StatusUnauthorized, http.MethodGet, url+"/history?"+query, "")
			want(t, http.StatusUnauthorized, http.MethodGet, url+"/history?"+query, "", token)
		}
	}
	want(t, http.StatusBadRequest, http.MethodGet, url+"/subscribe?room=inbox-%2a", "", kim)
	for _, path := range []string{"/", "/me", "/inbox.html"} {
		want(t, http.StatusUnauthorized, http.MethodGet, url+path, "")
	}
	if a := want(t, http.StatusOK, http.MethodGet, url+"/me", "", lee); a.Body != "lee" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("lee is told %q, %v", a.Body, a.Header)
	}
	for _, header := range []string{kim, "X: none", "Authorization: Bearer", "Authorization: Bearer wrong", "Authorization: Bearer s3cret2"} {
		for _, path := range []string{"/update", "/UPDATE", "/%75pdate"} {
			if a := do(t, http.MethodPost, url+path+"?room=inbox-kim", text("fake"), header); a.Status != http.StatusNotFound {
				t.Errorf("POST %s with %q: %d %s", path, header, a.Status, a.Body)
			}
		}
	}
	want(t, http.StatusForbidden, http.MethodPost, url+"/update", text("fake"), token)
	want(t, http.StatusForbidden, http.MethodPost, url+"/update?room=staff", text("fake"), token)
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=inbox-lee", text("for lee"), token)
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=inbox-kim", text("for kim"), token)
	if line := s.Line(t, "data:"); !strings.Contains(line, "for kim") {
		t.Errorf("kim got %s", line)
	}
	if a := want(t, http.StatusOK, http.MethodGet, url+"/history?room=inbox-lee", "", lee); !strings.Contains(a.Body, "for lee") || strings.Contains(a.Body, "for kim") {
		t.Errorf("lee's inbox: %s", a.Body)
	}
}

// authServer knows one session.
func authServer(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("session")
		if r.URL.Path != "/check" || err != nil || cookie.Value != "kims-session" {
			http.Redirect(w, r, "https://login.example.com/", http.StatusFound)
			return
		}
		w.Header().Set("X-User", "kim")
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestForwardAuth(t *testing.T) {
	url := freeURL(t)
	runCaddy(t, url, recipe(t, "forward-auth.Caddyfile", "chat.example.com", url, "localhost:9091", authServer(t)))
	const session = "Cookie: session=kims-session"

	for _, path := range []string{"/", "/subscribe", "/history"} {
		a := want(t, http.StatusFound, http.MethodGet, url+path, "", "X-User: kim")
		if a.Header.Get("Location") != "https://login.example.com/" {
			t.Errorf("sent to %q", a.Header.Get("Location"))
		}
		want(t, http.StatusFound, http.MethodGet, url+path, "", "Cookie: session=other")
	}
	want(t, http.StatusFound, http.MethodPost, url+"/update", text("x"))

	s := subscribe(t, url+"/subscribe", session)
	want(t, http.StatusOK, http.MethodPost, url+"/update", `{"text":"hi","name":"boss"}`, session, "X-User: boss")
	if line := s.Line(t, "data:"); !strings.Contains(line, `"name":"kim"`) {
		t.Errorf("the author is not the session's: %s", line)
	}
}

// The inboxes work with a site's own login too, with what the recipe says to replace.
func TestInboxesWithYourOwnLogin(t *testing.T) {
	url := freeURL(t)
	caddyfile := recipe(t, "inbox.Caddyfile", "chat.example.com", url, "{http.auth.user.id}", "{http.request.header.X-User}")
	caddyfile = regexp.MustCompile(`(?s)basic_auth @users \{.*?\}`).ReplaceAllString(caddyfile,
		"forward_auth @users "+authServer(t)+" {\n\t\turi /check\n\t\tcopy_headers X-User\n\t}")
	runCaddy(t, url, caddyfile, "INBOX_TOKEN=s3cret")
	const session, fake = "Cookie: session=kims-session", "X-User: lee"
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=inbox-kim", text("for kim"), "Authorization: Bearer s3cret")
	for _, path := range []string{"/subscribe?room=inbox-kim", "/history?room=inbox-lee", "/me"} {
		want(t, http.StatusFound, http.MethodGet, url+path, "", fake)
	}
	if a := want(t, http.StatusOK, http.MethodGet, url+"/me", "", session, fake); a.Body != "kim" {
		t.Errorf("kim is told %q", a.Body)
	}
	subscribe(t, url+"/subscribe?room=inbox-kim&last=1", session, fake).Line(t, "for kim")
	want(t, http.StatusForbidden, http.MethodGet, url+"/history?room=inbox-lee", "", session, fake)
	want(t, http.StatusNotFound, http.MethodPost, url+"/update?room=inbox-kim", text("fake"), session, fake)
}

func TestLimits(t *testing.T) {
	url := freeURL(t)
	s := runCaddy(t, url, recipe(t, "limits.Caddyfile", "chat.example.com", url))
	for range 30 {
		want(t, http.StatusOK, http.MethodPost, url+"/update", text("x"))
	}
	a := want(t, http.StatusTooManyRequests, http.MethodPost, url+"/update", text("x"))
	if a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "30 may be sent within 1m0s") {
		t.Errorf("%v %s", a.Header, a.Body)
	}
	want(t, http.StatusRequestEntityTooLarge, http.MethodPost, url+"/update", text(strings.Repeat("x", 2049)))
	if a := doWith(t, from("127.0.0.2"), http.MethodPost, url+"/update", text("x")); a.Status != http.StatusOK {
		t.Errorf("another client: %d %s", a.Status, a.Body)
	}
	for range 10 {
		subscribe(t, url+"/subscribe")
	}
	if a := want(t, http.StatusOK, http.MethodGet, url+"/subscribe", ""); !strings.HasPrefix(a.Body, "retry: ") {
		t.Errorf("the 11th stream got %q", a.Body)
	}
	subscribeWith(t, from("127.0.0.2"), url+"/subscribe")
	if a := want(t, http.StatusOK, http.MethodGet, "http://"+s.admin+"/metrics", ""); !strings.Contains(a.Body, `caddy_sse_chat_publish_rejected_total{hub="default",reason="too_fast"} 1`) {
		t.Error("the refusal is not counted")
	}
}

func TestCrossOrigin(t *testing.T) {
	url := freeURL(t)
	runCaddy(t, url, recipe(t, "cross-origin.Caddyfile", "chat.example.com", url))
	const allowed, other = "Origin: https://www.example.com", "Origin: https://evil.example.com"

	s := subscribe(t, url+"/subscribe", allowed)
	if got := s.Response.Header.Get("Access-Control-Allow-Origin"); got != "https://www.example.com" {
		t.Errorf("the page may not read: %q", got)
	}
	a := want(t, http.StatusOK, http.MethodPost, url+"/update", text("hi"), allowed, "Sec-Fetch-Site: cross-site")
	if got := a.Header.Get("Access-Control-Allow-Origin"); got != "https://www.example.com" {
		t.Errorf("the page may not read the answer: %q", got)
	}
	s.Line(t, "hi")
	preflight := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"}
	a = do(t, http.MethodOptions, url+"/update", "", append(preflight, allowed)...)
	if a.Status/100 != 2 || !strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight: %d %v", a.Status, a.Header)
	}

	want(t, http.StatusForbidden, http.MethodPost, url+"/update", text("fake"), other, "Sec-Fetch-Site: cross-site")
	want(t, http.StatusForbidden, http.MethodPost, url+"/update", text("fake"), other)
	if got := subscribe(t, url+"/subscribe", other).Response.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("another page may read: %q", got)
	}
	if a = do(t, http.MethodOptions, url+"/update", "", append(preflight, other)...); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another page: %d %v", a.Status, a.Header)
	}
}

// An app can send preflights without a login, but nothing else.
func TestApp(t *testing.T) {
	url := freeURL(t)
	runCaddy(t, url, recipe(t, "app.Caddyfile", "chat.example.com", url))
	kim := login("kim", "hiccup")
	for _, origin := range []string{"capacitor://localhost", "https://localhost"} {
		from := "Origin: " + origin
		for path, method := range map[string]string{"/subscribe": http.MethodGet, "/history": http.MethodGet, "/update": http.MethodPost} {
			a := want(t, http.StatusNoContent, http.MethodOptions, url+path, "", from,
				"Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: authorization,content-type,traceparent")
			if a.Header.Get("Access-Control-Allow-Origin") != origin || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "traceparent") {
				t.Errorf("preflight of %s: %v", path, a.Header)
			}
			want(t, http.StatusUnauthorized, method, url+path, text("x"), from)
		}
		s := subscribe(t, url+"/subscribe", from, kim)
		a := want(t, http.StatusOK, http.MethodPost, url+"/update", text("hi"), from, "Sec-Fetch-Site: cross-site", kim)
		if a.Header.Get("Access-Control-Allow-Origin") != origin || !strings.Contains(a.Body, `"name":"kim"`) {
			t.Errorf("%v %s", a.Header, a.Body)
		}
		s.Line(t, "hi")
	}
	want(t, http.StatusForbidden, http.MethodPost, url+"/update", text("x"), "Origin: ionic://localhost", kim)
	// without a login only preflights work
	want(t, http.StatusMethodNotAllowed, http.MethodOptions, url+"/update", text("x"))
}
