package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// tagOfKim is the tag of keyOfKim.
const tagOfKim = "tBc36uvtR_j"

// post publishes a body with a header and returns what is stored.
func post(t testing.TB, s *chattest.Site, path, body string, header ...string) chattest.Message {
	t.Helper()
	a := s.Do(t, http.MethodPost, path, body, header...)
	if a.Status != http.StatusOK {
		t.Fatalf("POST %s %s: %d %s", path, body, a.Status, a.Body)
	}
	return a.Stored(t)
}

// patch changes a message and returns the answer's body.
func patch(t testing.TB, s *chattest.Site, room, id, body string, header ...string) string {
	t.Helper()
	a := s.Do(t, http.MethodPatch, "/update?room="+room+"&id="+id, body, header...)
	if a.Status != http.StatusOK {
		t.Fatalf("PATCH %s: %d %s", body, a.Status, a.Body)
	}
	return a.Body
}

// The answers of PATCH /update to one body each.
func TestPatchAnswers(t *testing.T) {
	s := caddytest.Serve(t, "max_text 1KiB")
	for _, test := range []struct {
		name, body string
		status     int
		want       string // a part of the answer
	}{
		{"a text", `{"text":"new"}`, 200, `{"text":"new","timestamp":`},
		{"an addition", `{"append":" more"}`, 200, `{"text":"old more"`},
		{"white space is added", `{"append":" \n"}`, 200, `{"text":"old \n"`},
		{"data", `{"data":{"a": [1, 2]}}`, 200, `"data":{"a":[1,2]}`},
		{"text and data", `{"text":"new","data":"x"}`, 200, `{"text":"new"`},
		{"a reaction", `{"react":"👍"}`, 200, `"reactions":{"👍":{"count":1,"by":["` + tagOfKim + `"]}}`},
		{"a long emoji", `{"react":"👩🏻‍❤️‍💋‍👨🏿"}`, 200, `"count":1`},
		{"a reaction in words", `{"react":"good idea"}`, 200, `"good idea":{"count":1`},
		{"one that is not there is taken back", `{"unreact":"👍"}`, 200, `{"text":"old"`},
		{"the URL's room", `{"append":"!","room":"lobby"}`, 200, `old!`},
		{"unknown keys", `{"append":"!","x":1,"name":"lee"}`, 200, `old!`},
		{"null for what is not meant", `{"append":"!","text":null,"data":null,"nonce":null}`, 200, `old!`},
		{"the longest", fmt.Sprintf(`{"append":%q}`, strings.Repeat("x", 1021)), 200, "xxx"},

		{"nothing", ``, 400, "the body is empty"},
		{"no change", `{}`, 400, "a change must have one of"},
		{"two changes", `{"text":"a","append":"b"}`, 400, "a change must have one of"},
		{"a reaction with data", `{"react":"👍","data":1}`, 400, "a change must have one of"},
		{"an empty text", `{"text":" \n"}`, 400, noText},
		{"nothing is added", `{"append":""}`, 400, "append: must not be empty"},
		{"a number", `{"append":1}`, 400, "append: must be a string"},
		{"a control character", `{"append":"\u0000"}`, 400, "control character U+0000"},
		{"a lone surrogate", `{"append":"\ud83d"}`, 400, "surrogate"},
		{"bad UTF-8", "{\"append\":\"\xff\"}", 400, "not UTF-8"},
		{"an empty reaction", `{"react":""}`, 400, "a reaction must not be empty"},
		{"an invisible reaction", `{"react":"\u200b"}`, 400, "a reaction may only have what a name may have"},
		{"a long reaction", fmt.Sprintf(`{"react":%q}`, strings.Repeat("x", 33)), 400, "longer than 32 bytes"},
		{"many emoji", fmt.Sprintf(`{"react":%q}`, strings.Repeat("👍", 9)), 400, "longer than 32 bytes"},
		{"another room", `{"append":"!","room":"tea"}`, 400, "room: the message says"},
		{"a wrong nonce", `{"append":"!","nonce":"a b"}`, 400, "nonce"},
		{"no JSON", `append=x`, 400, "not JSON"},
		{"an array", `[]`, 400, "JSON object"},
		{"a text that is too long", fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 1025)), 413, "1025 bytes are more than 1024"},
		{"an addition that makes it too long", fmt.Sprintf(`{"append":%q}`, strings.Repeat("x", 1022)), 413, "1025 bytes are more than 1024"},
		{"data that make it too long", fmt.Sprintf(`{"data":%q}`, strings.Repeat("x", 1024)), 413, "more than 1024"},
		{"a body that is too long", fmt.Sprintf(`{"append":"x","y":%q}`, strings.Repeat("y", 20_000)), 413, "the body is larger than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := post(t, s, "/update", `{"text":"old"}`, keyOfKim)
			a := s.Do(t, http.MethodPatch, "/update?id="+m.ID, test.body, keyOfKim)
			if a.Status != test.status || !strings.Contains(a.Body, test.want) {
				t.Fatalf("%d %s, want %d with %s", a.Status, a.Body, test.status, test.want)
			}
			history := s.Do(t, http.MethodGet, "/history?limit=1", "")
			if a.Status == http.StatusOK {
				if !strings.Contains(history.Body, a.Body) || a.Header.Get("Content-Type") != "application/json" {
					t.Errorf("history is %s, and the answer %s", history.Body, a.Body)
				}
			} else if a.ErrorText(t) == "" || !strings.Contains(history.Body, `{"text":"old"`) {
				t.Errorf("after a refusal history is %s", history.Body)
			}
		})
	}
}

// Which message is changed is in the URL.
func TestWhichMessageIsChanged(t *testing.T) {
	s := caddytest.Serve(t, "")
	m := post(t, s, "/update?room=tea", `{"text":"old"}`, keyOfKim)
	for query, want := range map[string]int{
		"room=tea&id=" + m.ID:              200,
		"id=" + m.ID:                       404,
		"room=den&id=" + m.ID:              404,
		"room=tea&id=1":                    404,
		"room=tea&id=" + m.ID + "-9":       404,
		"room=tea":                         400,
		"room=tea&id=":                     400,
		"room=tea&id=x":                    400,
		"room=tea&id=" + m.ID + "&id=1":    400,
		"room=tea&room=den&id=" + m.ID:     400,
		"room=&id=" + m.ID:                 400,
		"room=tea&id=%zz":                  400,
		"room=tea&id=99999999999999999999": 400,
	} {
		for method, body := range map[string]string{http.MethodPatch: `{"append":"!"}`, http.MethodDelete: ""} {
			if method == http.MethodDelete && want == http.StatusOK {
				continue
			}
			if a := s.Do(t, method, "/update?"+query, body, keyOfKim); a.Status != want || want != 200 && a.ErrorText(t) == "" {
				t.Errorf("%s ?%s: %d %s, want %d", method, query, a.Status, a.Body, want)
			}
		}
	}
	if a := s.Do(t, http.MethodDelete, "/update?room=tea&id="+m.ID, "", keyOfKim); a.Status != 200 || a.Body != fmt.Sprintf(`{"id":%q}`, m.ID) {
		t.Errorf("DELETE: %d %s", a.Status, a.Body)
	}
}

// Nobody changes the message of another, by whatever means.
func TestNobodyChangesTheMessageOfAnother(t *testing.T) {
	s := caddytest.Serve(t, "name {http.request.header.X-User}")
	byKey := post(t, s, "/update", `{"text":"mine","name":"kim","nonce":"n"}`, keyOfKim)
	byName := post(t, s, "/update", `{"text":"mine","nonce":"n"}`, "X-User: kim", keyOfLee)
	nobodys := post(t, s, "/update", `{"text":"mine"}`)
	for _, header := range [][]string{
		nil,
		{keyOfLee},
		{"X-User: lee"},
		{"X-User: lee", keyOfKim},
		{"Authorization: Basic a2ltOnRlYQ=="},
		{"Authorization: Bearer " + strings.Repeat("k", 22)},
		{"Author-Key: " + strings.Repeat("k", 22)},
		{"Authorization: Author-Key " + strings.Repeat("k", 23)},
		{"Idempotency-Key: n"},
	} {
		for name, m := range map[string]chattest.Message{"a key's": byKey, "a name's": byName, "nobody's": nobodys} {
			for method, body := range map[string]string{http.MethodPatch: `{"text":"yours","name":"kim","author":"` + tagOfKim + `","nonce":"n"}`, http.MethodDelete: ""} {
				if a := s.Do(t, method, "/update?id="+m.ID+"&name=kim&author="+tagOfKim, body, header...); a.Status != http.StatusForbidden {
					t.Errorf("%s of %s message with %q: %d %s", method, name, header, a.Status, a.Body)
				}
			}
		}
	}
	// a wrong key is a mistake, and is told
	if a := s.Do(t, http.MethodPatch, "/update?id="+byKey.ID, `{"text":"x"}`, "Authorization: Author-Key short"); a.Status != 400 {
		t.Errorf("a key that is too short: %d %s", a.Status, a.Body)
	}
	// the name that the configuration gives comes before the key
	if a := s.Do(t, http.MethodPatch, "/update?id="+byName.ID, `{"text":"x"}`, keyOfLee); a.Status != 403 {
		t.Errorf("the key of one who is named: %d %s", a.Status, a.Body)
	}
	// nobody in particular does not react
	if a := s.Do(t, http.MethodPatch, "/update?id="+byKey.ID, `{"react":"👍"}`); a.Status != 403 || !strings.Contains(a.Body, "who reacts needs") {
		t.Errorf("a reaction by nobody: %d %s", a.Status, a.Body)
	}
	if a := s.Do(t, http.MethodGet, "/history", ""); strings.Contains(a.Body, "yours") || strings.Count(a.Body, "mine") != 3 {
		t.Errorf("history: %s", a.Body)
	}
	patch(t, s, "lobby", byKey.ID, `{"text":"changed"}`, keyOfKim)
	patch(t, s, "lobby", byName.ID, `{"text":"changed"}`, "X-User: kim")
	patch(t, s, "lobby", byName.ID, `{"react":"👍"}`, "X-User: lee", keyOfKim)
	a := s.Do(t, http.MethodGet, "/history", "")
	if !strings.Contains(a.Body, `"author":"`+tagOfKim+`"`) || !strings.Contains(a.Body, `"by":["lee"]`) {
		t.Errorf("history: %s", a.Body)
	}
}

// Over each protocol a change reaches who is there, parked or not, and who was away.
func TestEachProtocolTellsOfChanges(t *testing.T) {
	caddytest.EachProtocol(t, "", func(t *testing.T, s *chattest.Site, _ int) {
		page, plain := s.Stream(t, "/subscribe?room=tea&events=1"), s.Stream(t, "/subscribe?room=tea")
		page.Until(t, "event: presence")
		m := post(t, s, "/update?room=tea", `{"text":"a🫖","reply_to":"17-3"}`, keyOfKim)
		if e := plain.Next(t); !strings.Contains(e.Data, `"author":"`+tagOfKim+`","reply_to":"17-3"}`) {
			t.Errorf("a message is %s", e.Data)
		}
		next := func() chattest.Event {
			t.Helper()
			for e := page.Next(t); ; e = page.Next(t) {
				if e.Name == "change" || e.Name == "delete" {
					return e
				}
			}
		}
		patch(t, s, "tea", m.ID, `{"append":"b"}`, keyOfKim)
		first := next()
		if want := fmt.Sprintf(`{"id":%q,"room":"tea","append":"b","at":3,"edited":`, m.ID); first.Name != "change" || first.ID == "" || !strings.HasPrefix(first.Data, want) {
			t.Errorf("got %+v, want %s", first, want)
		}
		away := first.ID
		patch(t, s, "tea", m.ID, `{"react":"👍"}`, keyOfLee)
		if e := next(); !strings.HasPrefix(e.Data, fmt.Sprintf(`{"id":%q,"room":"tea","reactions":{"👍":{"count":1,"by":["`, m.ID)) {
			t.Errorf("got %+v", e)
		}
		patch(t, s, "tea", m.ID, `{"text":"c"}`, keyOfKim)
		if e := next(); !strings.HasPrefix(e.Data, fmt.Sprintf(`{"id":%q,"room":"tea","text":"c","edited":`, m.ID)) {
			t.Errorf("got %+v", e)
		}
		patch(t, s, "tea", m.ID, `{"unreact":"👍"}`, keyOfLee)
		if e := next(); e.Data != fmt.Sprintf(`{"id":%q,"room":"tea","reactions":{}}`, m.ID) {
			t.Errorf("got %+v", e)
		}
		back := s.Stream(t, "/subscribe?room=tea&events=1", "Last-Event-ID: "+away)
		if e := back.Next(t); e.Name != "hello" || !strings.Contains(e.Data, `"resumed":true`) {
			t.Errorf("got %+v", e)
		}
		if e := back.Next(t); e.Name != "change" || !strings.HasPrefix(e.Data, fmt.Sprintf(`{"id":%q,"room":"tea","text":"c","edited":`, m.ID)) || !strings.HasSuffix(e.Data, `"reactions":{}}`) {
			t.Errorf("one who comes back got %+v", e)
		}
		if e := back.Next(t); e.Name != "live" {
			t.Errorf("one who comes back got %+v too", e)
		}
		if a := s.Do(t, http.MethodDelete, "/update?room=tea&id="+m.ID, "", keyOfKim); a.Status != 200 {
			t.Fatalf("DELETE: %d %s", a.Status, a.Body)
		}
		gone := next()
		if gone.Name != "delete" || gone.ID == "" || gone.Data != fmt.Sprintf(`{"id":%q,"room":"tea"}`, m.ID) {
			t.Errorf("got %+v", gone)
		}
		later := post(t, s, "/update?room=tea", `{"text":"later"}`)
		if got := plain.Until(t, later.ID); strings.Contains(got, "event:") || strings.Contains(got, "🫖b") {
			t.Errorf("one who asked for no named events got %q", got)
		}
		back = s.Stream(t, "/subscribe?room=tea&events=1", "Last-Event-ID: "+away)
		back.Next(t)
		if e := back.Next(t); e != gone {
			t.Errorf("one who comes back after the deletion got %+v, want %+v", e, gone)
		}
	})
}

// A repeat of a change changes nothing.
func TestAChangeIsRepeated(t *testing.T) {
	s := caddytest.Serve(t, "")
	m := post(t, s, "/update", `{"text":"a","nonce":"n"}`, keyOfKim)
	for range 2 {
		if got := patch(t, s, "lobby", m.ID, `{"append":"b","nonce":"n"}`, keyOfKim); !strings.Contains(got, `{"text":"ab"`) {
			t.Errorf("got %s", got)
		}
		if got := patch(t, s, "lobby", m.ID, `{"append":"b"}`, keyOfKim, `Idempotency-Key: "n"`); !strings.Contains(got, `{"text":"ab"`) {
			t.Errorf("got %s", got)
		}
	}
	// a repeat of the message itself is answered with what it is now
	if got := post(t, s, "/update", `{"text":"a","nonce":"n"}`, keyOfKim); got.ID != m.ID || got.Text != "ab" {
		t.Errorf("a repeat of the message is answered %+v", got)
	}
	for range 2 {
		if a := s.Do(t, http.MethodDelete, "/update?id="+m.ID, "", keyOfKim, "Idempotency-Key: d"); a.Status != 200 || a.Body != fmt.Sprintf(`{"id":%q}`, m.ID) {
			t.Errorf("DELETE: %d %s", a.Status, a.Body)
		}
	}
	if got := patch(t, s, "lobby", m.ID, `{"append":"b","nonce":"n"}`, keyOfKim); got != fmt.Sprintf(`{"id":%q,"deleted":true}`, m.ID) {
		t.Errorf("a repeat after the deletion is answered %s", got)
	}
}

// Whoever is let to a handler that moderates may change everything, and is told so.
func TestModeration(t *testing.T) {
	s := caddytest.ServeSite(t, `@mods header X-Mod yes
handle @mods {
	sse_chat {
		moderate on
		name {http.request.header.X-User}
	}
}
sse_chat`)
	m := post(t, s, "/update", `{"text":"bad"}`, keyOfKim)
	if a := s.Do(t, http.MethodPatch, "/update?id="+m.ID, `{"text":"x"}`, "X-User: mod"); a.Status != 403 {
		t.Errorf("without being let: %d %s", a.Status, a.Body)
	}
	patch(t, s, "lobby", m.ID, `{"text":"better"}`, "X-Mod: yes")
	if a := s.Do(t, http.MethodDelete, "/update?id="+m.ID, "", "X-Mod: yes"); a.Status != 200 {
		t.Errorf("DELETE: %d %s", a.Status, a.Body)
	}
	for _, test := range []struct {
		header []string
		want   string
	}{
		{nil, ""},
		{[]string{"X-Mod: yes"}, `"you":{"moderate":true}`},
		{[]string{"X-Mod: yes", "X-User: mod"}, `"you":{"name":"mod","moderate":true}`},
	} {
		hello := s.Stream(t, "/subscribe?events=1", test.header...).Next(t)
		if !strings.Contains(hello.Data, test.want) || test.want == "" && strings.Contains(hello.Data, "you") {
			t.Errorf("with %q: %s", test.header, hello.Data)
		}
	}
}

// Signals reach who is there and has asked for named events, and are stored nowhere.
func TestSignals(t *testing.T) {
	s := caddytest.Serve(t, "")
	page, plain := s.Stream(t, "/subscribe?room=tea&events=1"), s.Stream(t, "/subscribe?room=tea")
	other := s.Stream(t, "/subscribe?room=den&events=1")
	page.Until(t, "event: presence")
	other.Until(t, "event: presence")
	a := s.Do(t, http.MethodPost, "/update?room=tea", `{"signal":"typing","name":"kim"}`, keyOfKim)
	if a.Status != http.StatusAccepted || a.Body != "" {
		t.Fatalf("a signal is answered %d %s", a.Status, a.Body)
	}
	page.Until(t, `event: signal
data: {"room":"tea","name":"kim","author":"`+tagOfKim+`","signal":"typing"}`)
	// at most one a second, the others are dropped
	for range 20 {
		if a := s.Do(t, http.MethodPost, "/update?room=tea", `{"signal":"dropped"}`); a.Status != http.StatusAccepted {
			t.Errorf("a signal is answered %d %s", a.Status, a.Body)
		}
	}
	later := s.Post(t, "/update?room=tea", "later")
	if got := page.Until(t, later.ID); strings.Count(got, "dropped") > 2 {
		t.Errorf("got %s", got)
	}
	if got := plain.Until(t, later.ID) + other.All(); strings.Contains(got, "signal") {
		t.Errorf("others got %s", got)
	}
	if got := s.Do(t, http.MethodGet, "/history?room=tea", "").Body; strings.Contains(got, "signal") {
		t.Errorf("history: %s", got)
	}
	for _, test := range []struct{ body, header, want string }{
		{`{"signal":""}`, "", "1 to 32 of a-z"},
		{`{"signal":"Typing"}`, "", "1 to 32 of a-z"},
		{`{"signal":1}`, "", "signal: must be a string"},
		{fmt.Sprintf(`{"signal":%q}`, strings.Repeat("x", 33)), "", "1 to 32 of a-z"},
		{`{"signal":"typing","text":"x"}`, "", "not both"},
		{`{"signal":"typing","room":"den"}`, "", "room: the message says"},
		{`{"signal":"typing","name":"a\u200bb"}`, "", "name"},
		{`signal=typing`, "Content-Type: application/x-www-form-urlencoded", "signal: send it by itself"},
		{`text=x&signal=typing`, "Content-Type: application/x-www-form-urlencoded", "signal: send it by itself"},
		{`{"signal":"typing"}`, "Content-Type: application/x-ndjson", "signal: send it by itself"},
		{`{"text":"x","signal":"typing"}`, "Content-Type: application/x-ndjson", "signal: send it by itself"},
	} {
		var header []string
		if test.header != "" {
			header = []string{test.header}
		}
		if a := s.Do(t, http.MethodPost, "/update?room=tea", test.body, header...); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, test.want) {
			t.Errorf("%s: %d %s, want 400 with %s", test.body, a.Status, a.Body, test.want)
		}
	}
}

// A forgotten room is told, also to who was away.
func TestAForgottenRoomIsTold(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat")
	chat := s.Sites[0]
	page := chat.Stream(t, "/subscribe?room=tea&events=1")
	page.Until(t, "event: presence")
	var last chattest.Message
	for i := range 3 {
		last = chat.Post(t, "/update?room=tea", fmt.Sprint(i))
	}
	page.Until(t, last.ID+`"`)
	page.Until(t, "\n\n")
	s.Admin.ForgetRoom(t, "default", "tea")
	e := page.Next(t)
	if want := fmt.Sprintf(`{"room":"tea","through":%q}`, last.ID); e.Name != "delete" || e.ID == "" || e.Data != want {
		t.Errorf("got %+v, want %s", e, want)
	}
	back := chat.Stream(t, "/subscribe?room=tea&events=1", "Last-Event-ID: "+last.ID)
	if got := back.Until(t, "event: live"); !strings.Contains(got, "event: delete\nid: "+e.ID+"\ndata: "+e.Data) {
		t.Errorf("one who comes back got %s, want %+v", got, e)
	}
}

// A change counts towards the rate; a repeat does not.
func TestChangesCountTowardsTheRate(t *testing.T) {
	s := caddytest.Serve(t, "rate 4 1h")
	m := post(t, s, "/update", `{"text":"x"}`, keyOfKim)
	for range 3 {
		patch(t, s, "lobby", m.ID, `{"append":"y","nonce":"n"}`, keyOfKim)
	}
	patch(t, s, "lobby", m.ID, `{"append":"y"}`, keyOfKim)
	patch(t, s, "lobby", m.ID, `{"append":"y"}`, keyOfKim)
	if a := s.Do(t, http.MethodPatch, "/update?id="+m.ID, `{"append":"y"}`, keyOfKim); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// A cached page of history is revalidated after a change.
func TestHistoryFollowsChanges(t *testing.T) {
	s := caddytest.Serve(t, "")
	m := post(t, s, "/update", `{"text":"old"}`, keyOfKim)
	page := s.Do(t, http.MethodGet, "/history?after=1", "")
	tag := "If-None-Match: " + page.Header.Get("Etag")
	if a := s.Do(t, http.MethodGet, "/history?after=1", "", tag); a.Status != http.StatusNotModified {
		t.Errorf("unchanged: %d", a.Status)
	}
	patch(t, s, "lobby", m.ID, `{"text":"new"}`, keyOfKim)
	if a := s.Do(t, http.MethodGet, "/history?after=1", "", tag); a.Status != 200 || !strings.Contains(a.Body, "new") {
		t.Errorf("changed: %d %s", a.Status, a.Body)
	}
}

// An author's key is in no log, whether a request is answered, refused or parked.
func TestAnAuthorsKeyIsInNoLog(t *testing.T) {
	dir := t.TempDir()
	access := filepath.Join(dir, "access.log")
	p := caddytest.Start(t, "http://"+chattest.FreeAddr(t), "log {\noutput file "+access+"\n}\nsse_chat {\nstore bolt "+filepath.Join(dir, "chat.db")+"\n}")
	secret := strings.Repeat("secret-key_", 4)
	key := "Authorization: Author-Key " + secret
	m := post(t, p.Site, "/update", `{"text":"x"}`, key)
	c := p.Stream(t, "/subscribe?events=1", key)
	c.Until(t, "event: presence")
	patch(t, p.Site, "lobby", m.ID, `{"text":"y"}`, key)
	for _, test := range []struct{ method, path, body string }{
		{http.MethodPatch, "/update?id=1", `{"text":"y"}`},
		{http.MethodPatch, "/update?id=x", `{"text":"y"}`},
		{http.MethodDelete, "/update?id=" + m.ID, ""},
		{http.MethodPut, "/update", ""},
	} {
		p.Do(t, test.method, test.path, test.body, key)
	}
	p.Do(t, http.MethodPost, "/update", `{"text":"x"}`, key+"!")
	c.Close()
	chattest.Eventually(t, "the stream's line is written", func() bool {
		lines, _ := os.ReadFile(access)
		return strings.Contains(string(lines), "sse_reason")
	})
	p.Terminate(t)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), secret) {
			t.Errorf("the key is in %s", filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if lines, _ := os.ReadFile(access); !strings.Contains(string(lines), "REDACTED") {
		t.Error("no line shows that there was a key")
	}
	if log := p.Log(t); strings.Contains(log, secret) {
		t.Error("the key is in the log")
	}
}
