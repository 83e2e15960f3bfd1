package ssechat

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

var (
	keyOfKim = "Authorization: Author-Key " + strings.Repeat("k", 22)
	keyOfLee = "Authorization: Author-Key " + strings.Repeat("lee_-", 25)
)

// A nonce is its author's: who repeats that of another has a message stored.
func TestANonceIsItsAuthors(t *testing.T) {
	s := serve(t, "name {http.request.header.X-User}")
	send := func(text string, header ...string) answer {
		t.Helper()
		a := s.do(t, http.MethodPost, "/update", fmt.Sprintf(`{"text":%q,"nonce":"n"}`, text), header...)
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", text, a.status, a.body)
		}
		return a
	}
	authors := map[string][]string{
		"kim":                  {"X-User: kim"},
		"lee":                  {"X-User: lee"},
		"nobody":               nil,
		"the key of kim":       {keyOfKim},
		"the key of lee":       {keyOfLee},
		"who is not logged in": {"X-User: ", "Authorization: Author-Key nobody-has-a-name-but-a-key"},
	}
	first := make(map[string]answer)
	for author, header := range authors {
		if first[author] = send("of "+author, header...); !strings.Contains(first[author].body, "of "+author) {
			t.Errorf("%s is answered %s", author, first[author].body)
		}
	}
	for author, header := range authors {
		if again := send("again", header...); again.body != first[author].body {
			t.Errorf("a repeat by %s is answered %s, want %s", author, again.body, first[author].body)
		}
	}
	// the name that the configuration gives comes before the key, and other
	// schemes mean nothing
	for _, test := range []struct {
		author string
		header []string
	}{
		{"kim", []string{"X-User: kim", keyOfLee}},
		{"lee", []string{"X-User: lee", "Authorization: Bearer x"}},
		{"nobody", []string{"Authorization: Basic a2ltOnRlYQ=="}},
	} {
		if again := send("again", test.header...); again.body != first[test.author].body {
			t.Errorf("%s with %q is answered %s, want %s", test.author, test.header, again.body, first[test.author].body)
		}
	}
	batch := func(header ...string) string {
		return s.do(t, http.MethodPost, "/update", "{\"text\":\"1\",\"nonce\":\"b\"}\n{\"text\":\"2\",\"nonce\":\"n\"}", append(header, "Content-Type: application/x-ndjson")...).body
	}
	kim, lee := batch("X-User: kim"), batch(keyOfLee)
	for author, got := range map[string]string{"kim": kim, "the key of lee": lee} {
		if !strings.HasSuffix(got, first[author].body+"\n") {
			t.Errorf("a batch of %s is answered %s", author, got)
		}
	}
	if kim == lee {
		t.Errorf("two authors have one message: %s", kim)
	}
	if a := s.do(t, http.MethodGet, "/history?limit=200", ""); strings.Count(a.body, `"text"`) != len(authors)+2 || strings.Contains(a.body, "owner") {
		t.Errorf("stored is %s", a.body)
	}
}

func TestAWrongAuthorKeyIs400(t *testing.T) {
	s := serve(t, "name {http.request.header.X-User}")
	for _, header := range [][]string{
		{"Authorization: Author-Key short"},
		{"Authorization: Author-Key short", "X-User: kim"},
		{keyOfKim, keyOfLee},
		{keyOfKim + "!"},
	} {
		a := s.do(t, http.MethodPost, "/update", `{"text":"x"}`, header...)
		if a.status != http.StatusBadRequest || !strings.Contains(a.message(t), "Author-Key") || strings.Contains(a.body, "short") {
			t.Errorf("%q is answered %d %s", header, a.status, a.body)
		}
	}
	if a := s.do(t, http.MethodGet, "/history", ""); strings.Contains(a.body, `"text"`) {
		t.Errorf("stored is %s", a.body)
	}
}

// stored returns the message that an answer holds.
func stored(t *testing.T, a answer) (m chattest.Message) {
	t.Helper()
	decode(t, a, &m)
	return m
}

// A repeat of what was deleted or forgotten is answered with no more than its
// id, and costs nothing.
func TestADeletedMessageIsNotAnsweredAgain(t *testing.T) {
	s := serve(t, "rate 4 1h")
	send := func(text, nonce string) answer {
		t.Helper()
		return s.do(t, http.MethodPost, "/update?room=a", fmt.Sprintf(`{"text":%q,"nonce":%q}`, text, nonce))
	}
	var sent []chattest.Message
	for _, nonce := range []string{"deleted", "forgotten"} {
		sent = append(sent, stored(t, send("secret", nonce)))
	}
	b := hubOf(t, "default")
	if err := b.Delete(t.Context(), parsedID(t, sent[0].ID)); err != nil {
		t.Fatal(err)
	}
	check := func(nonce string, m chattest.Message) {
		t.Helper()
		want := fmt.Sprintf(`{"id":%q,"deleted":true}`, m.ID)
		for range 5 {
			if a := send("secret", nonce); a.status != http.StatusOK || a.body != want || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("a repeat is answered %d %s, want %s", a.status, a.body, want)
			}
		}
		ndjson := fmt.Sprintf("{\"text\":\"x\",\"nonce\":%[1]q}\n{\"text\":\"y\",\"nonce\":%[1]q}", nonce)
		a := s.do(t, http.MethodPost, "/update?room=a", ndjson, "Content-Type: application/x-ndjson")
		if a.status != http.StatusOK || a.body != want+"\n"+want+"\n" {
			t.Errorf("a batch of repeats is answered %d %s, want %s twice", a.status, a.body, want)
		}
	}
	check("deleted", sent[0])
	if a := send("x", "forgotten"); !strings.Contains(a.body, "secret") {
		t.Errorf("a repeat of another message is answered %d %s", a.status, a.body)
	}
	if err := b.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	check("forgotten", sent[1])
	check("deleted", sent[0])
	for i, want := range []int{200, 200, 429} {
		if a := send("new", fmt.Sprint("new", i)); a.status != want {
			t.Errorf("new message %d is answered %d %s, want %d", i, a.status, a.body, want)
		}
	}
}

// Over a restart of a durable hub too; and the text is in no copy of the file.
func TestADeletedMessageStaysDeletedOnDisk(t *testing.T) {
	dir := t.TempDir()
	admin, addr := freeAddr(t), freeAddr(t)
	s := &site{addr: addr, url: "http://" + addr, client: http.DefaultClient}
	api := &site{addr: admin, url: "http://" + admin, client: http.DefaultClient}
	config := fmt.Sprintf("{\nadmin %s\npersist_config off\nlog {\noutput discard\n}\n}\nhttp://%s {\nsse_chat {\nhub chat\nstore bolt %s/chat.db\n}\n}\n", admin, addr, dir)
	load := func() {
		t.Helper()
		if err := loadCaddyfile(t, config); err != nil {
			t.Fatal(err)
		}
	}
	load()
	t.Cleanup(func() { _ = caddy.Stop() })
	backup := func() string { return api.do(t, http.MethodGet, "/sse_chat/backups/chat", "").body }
	send := func(room, fate string, header ...string) answer {
		t.Helper()
		return s.do(t, http.MethodPost, "/update?room="+room, `{"text":"`+room+" "+fate+` secret","nonce":"q1"}`, header...)
	}
	removed := map[string]chattest.Message{ // by the room
		"tea": stored(t, send("tea", "deleted", keyOfKim)),
		"den": stored(t, send("den", "deleted")),
	}
	kept := send("tea", "kept", keyOfLee)
	if b := backup(); !strings.Contains(b, "tea deleted secret") || !strings.Contains(b, "den deleted secret") {
		t.Fatal("the texts are not in a backup while they are stored")
	}
	if strings.Contains(backup(), strings.Repeat("k", 22)) {
		t.Error("an author's key is in a backup")
	}
	for _, path := range []string{"/messages/" + removed["tea"].ID, "/rooms/den"} {
		if a := api.do(t, http.MethodDelete, "/sse_chat/hubs/chat"+path, ""); a.status != http.StatusNoContent {
			t.Fatalf("DELETE %s: %d %s", path, a.status, a.body)
		}
	}
	for restarted := range 2 {
		for room, header := range map[string][]string{"tea": {keyOfKim}, "den": nil} {
			if a, want := send(room, "deleted", header...), fmt.Sprintf(`{"id":%q,"deleted":true}`, removed[room].ID); a.status != http.StatusOK || a.body != want {
				t.Errorf("after %d restarts a repeat in %s is answered %d %s, want %s", restarted, room, a.status, a.body, want)
			}
		}
		if a := send("tea", "kept", keyOfLee); a.body != kept.body {
			t.Errorf("after %d restarts the repeat of another author is answered %s, want %s", restarted, a.body, kept.body)
		}
		eventually(t, "the forgotten room is in no backup", func() bool { return !strings.Contains(backup(), "den deleted secret") })
		if b := backup(); strings.Contains(b, "tea deleted secret") || !strings.Contains(b, "tea kept secret") {
			t.Errorf("after %d restarts a deleted text is in a backup, or one that is kept is not", restarted)
		}
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
		load()
	}
}

// An author's key is in no log, whatever becomes of the request.
func TestAuthorKeysAreInNoLog(t *testing.T) {
	dir := t.TempDir()
	access, rest := filepath.Join(dir, "access.log"), filepath.Join(dir, "rest.log")
	s := &site{addr: freeAddr(t), client: &http.Client{Transport: &http.Transport{}}}
	s.url = "http://" + s.addr
	config := fmt.Sprintf(`{
	admin off
	persist_config off
	log {
		output file %s
		level DEBUG
	}
}
http://%s {
	log {
		output file %s
	}
	handle /plain/* {
		uri strip_prefix /plain
		sse_chat {
			park off
		}
	}
	handle {
		sse_chat {
			max_text 100
			rate 2 1h
		}
	}
	handle_errors {
		respond {err.message} {err.status_code}
	}
}
`, rest, s.addr, access)
	if err := loadCaddyfile(t, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		_ = caddy.Stop()
	})
	secrets := []string{"good-secret-of-22-bytes-and-more", "bad+secret-of-22-bytes-and-more", "short-secret"}
	for i, secret := range secrets {
		key := "Authorization: Author-Key " + secret
		path := fmt.Sprintf("room=r%d", i)
		for _, body := range []string{`{"text":"x"}`, `{"text":"x"}`, `{"text":"too fast"}`, `{`, `{"text":"` + strings.Repeat("x", 101) + `"}`} {
			s.do(t, http.MethodPost, "/update?"+path, body, key)
		}
		s.do(t, http.MethodPut, "/update?"+path, `{"text":"x"}`, key)
		s.do(t, http.MethodGet, "/history?"+path, "", key)
		for _, prefix := range []string{"", "/plain"} {
			c := s.stream(t, prefix+"/subscribe?"+path, key)
			c.text(t, "retry: ")
			c.close()
		}
	}
	var lines map[string]map[string]any
	eventually(t, "all is logged", func() bool {
		lines = accessLog(t, access)
		for i := range secrets {
			for _, prefix := range []string{"", "/plain"} {
				if lines[fmt.Sprintf("%s/subscribe?room=r%d", prefix, i)] == nil {
					return false
				}
			}
		}
		return true
	})
	for uri, line := range lines {
		request, _ := line["request"].(map[string]any)
		header, _ := request["headers"].(map[string]any)
		if got := fmt.Sprint(header["Authorization"]); got != "[REDACTED]" {
			t.Errorf("the line of %s has the Authorization %s", uri, got)
		}
	}
	for _, file := range []string{access, rest} {
		content, err := os.ReadFile(file)
		if err != nil || len(content) == 0 {
			t.Fatalf("%s has %d bytes, %v", file, len(content), err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(content), secret) {
				t.Errorf("%s holds the key %s", filepath.Base(file), secret)
			}
		}
	}
}

func TestAReceiptOfWhatIsGone(t *testing.T) {
	id := store.ID{Ms: 17, N: 3}
	if got, want := string(wire.AppendReceipt(nil, store.Receipt{ID: id, Repeat: true})), `{"id":"17-3","deleted":true}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
