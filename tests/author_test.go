package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

var (
	keyOfKim = "Authorization: Author-Key " + strings.Repeat("k", 22)
	keyOfLee = "Authorization: Author-Key " + strings.Repeat("lee_-", 25)
)

// A nonce is its author's: who repeats that of another has a message stored.
func TestANonceIsItsAuthors(t *testing.T) {
	s := caddytest.Serve(t, "name {http.request.header.X-User}")
	send := func(text string, header ...string) chattest.Answer {
		t.Helper()
		a := s.Do(t, http.MethodPost, "/update", fmt.Sprintf(`{"text":%q,"nonce":"n"}`, text), header...)
		if a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", text, a.Status, a.Body)
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
	first := make(map[string]chattest.Answer)
	for author, header := range authors {
		if first[author] = send("of "+author, header...); !strings.Contains(first[author].Body, "of "+author) {
			t.Errorf("%s is answered %s", author, first[author].Body)
		}
	}
	for author, header := range authors {
		if again := send("again", header...); again.Body != first[author].Body {
			t.Errorf("a repeat by %s is answered %s, want %s", author, again.Body, first[author].Body)
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
		if again := send("again", test.header...); again.Body != first[test.author].Body {
			t.Errorf("%s with %q is answered %s, want %s", test.author, test.header, again.Body, first[test.author].Body)
		}
	}
	batch := func(header ...string) string {
		return s.Do(t, http.MethodPost, "/update", "{\"text\":\"1\",\"nonce\":\"b\"}\n{\"text\":\"2\",\"nonce\":\"n\"}", append(header, "Content-Type: application/x-ndjson")...).Body
	}
	kim, lee := batch("X-User: kim"), batch(keyOfLee)
	for author, got := range map[string]string{"kim": kim, "the key of lee": lee} {
		if !strings.HasSuffix(got, first[author].Body+"\n") {
			t.Errorf("a batch of %s is answered %s", author, got)
		}
	}
	if kim == lee {
		t.Errorf("two authors have one message: %s", kim)
	}
	if a := s.Do(t, http.MethodGet, "/history?limit=200", ""); strings.Count(a.Body, `"text"`) != len(authors)+2 || strings.Contains(a.Body, "owner") {
		t.Errorf("stored is %s", a.Body)
	}
}

func TestAWrongAuthorKeyIs400(t *testing.T) {
	s := caddytest.Serve(t, "name {http.request.header.X-User}")
	for _, header := range [][]string{
		{"Authorization: Author-Key short"},
		{"Authorization: Author-Key short", "X-User: kim"},
		{keyOfKim, keyOfLee},
		{keyOfKim + "!"},
	} {
		a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, header...)
		if a.Status != http.StatusBadRequest || !strings.Contains(a.ErrorText(t), "Author-Key") || strings.Contains(a.Body, "short") {
			t.Errorf("%q is answered %d %s", header, a.Status, a.Body)
		}
	}
	if a := s.Do(t, http.MethodGet, "/history", ""); strings.Contains(a.Body, `"text"`) {
		t.Errorf("stored is %s", a.Body)
	}
}

// A repeat of what was deleted or forgotten is answered with no more than its
// id, and costs nothing.
func TestADeletedMessageIsNotAnsweredAgain(t *testing.T) {
	s := caddytest.Serve(t, "rate 4 1h")
	send := func(text, nonce string) chattest.Answer {
		t.Helper()
		return s.Do(t, http.MethodPost, "/update?room=a", fmt.Sprintf(`{"text":%q,"nonce":%q}`, text, nonce))
	}
	var sent []chattest.Message
	for _, nonce := range []string{"deleted", "forgotten"} {
		sent = append(sent, send("secret", nonce).Stored(t))
	}
	caddytest.API().DeleteMessage(t, "default", sent[0].ID)
	check := func(nonce string, m chattest.Message) {
		t.Helper()
		want := fmt.Sprintf(`{"id":%q,"deleted":true}`, m.ID)
		for range 5 {
			if a := send("secret", nonce); a.Status != http.StatusOK || a.Body != want || a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("a repeat is answered %d %s, want %s", a.Status, a.Body, want)
			}
		}
		ndjson := fmt.Sprintf("{\"text\":\"x\",\"nonce\":%[1]q}\n{\"text\":\"y\",\"nonce\":%[1]q}", nonce)
		a := s.Do(t, http.MethodPost, "/update?room=a", ndjson, "Content-Type: application/x-ndjson")
		if a.Status != http.StatusOK || a.Body != want+"\n"+want+"\n" {
			t.Errorf("a batch of repeats is answered %d %s, want %s twice", a.Status, a.Body, want)
		}
	}
	check("deleted", sent[0])
	if a := send("x", "forgotten"); !strings.Contains(a.Body, "secret") {
		t.Errorf("a repeat of another message is answered %d %s", a.Status, a.Body)
	}
	caddytest.API().ForgetRoom(t, "default", "a")
	check("forgotten", sent[1])
	check("deleted", sent[0])
	for i, want := range []int{200, 200, 429} {
		if a := send("new", fmt.Sprint("new", i)); a.Status != want {
			t.Errorf("new message %d is answered %d %s, want %d", i, a.Status, a.Body, want)
		}
	}
}

// Over a restart of a durable hub too; and the text is in no copy of the file.
func TestADeletedMessageStaysDeletedOnDisk(t *testing.T) {
	dir := t.TempDir()
	admin, addr := chattest.FreeAddr(t), chattest.FreeAddr(t)
	s, api := chattest.At("http://"+addr, http.DefaultClient), chattest.At("http://"+admin, http.DefaultClient)
	config := fmt.Sprintf("{\nadmin %s\npersist_config off\nlog {\noutput discard\n}\n}\nhttp://%s {\nsse_chat {\nhub chat\nstore bolt %s/chat.db\n}\n}\n", admin, addr, dir)
	load := func() {
		t.Helper()
		if err := caddytest.LoadCaddyfile(t, config); err != nil {
			t.Fatal(err)
		}
	}
	load()
	t.Cleanup(func() { _ = caddy.Stop() })
	backup := func() string { return api.Do(t, http.MethodGet, "/sse_chat/backups/chat", "").Body }
	send := func(room, fate string, header ...string) chattest.Answer {
		t.Helper()
		return s.Do(t, http.MethodPost, "/update?room="+room, `{"text":"`+room+" "+fate+` secret","nonce":"q1"}`, header...)
	}
	removed := map[string]chattest.Message{ // by the room
		"tea": send("tea", "deleted", keyOfKim).Stored(t),
		"den": send("den", "deleted").Stored(t),
	}
	kept := send("tea", "kept", keyOfLee)
	if b := backup(); !strings.Contains(b, "tea deleted secret") || !strings.Contains(b, "den deleted secret") {
		t.Fatal("the texts are not in a backup while they are stored")
	}
	if strings.Contains(backup(), strings.Repeat("k", 22)) {
		t.Error("an author's key is in a backup")
	}
	for _, path := range []string{"/messages/" + removed["tea"].ID, "/rooms/den"} {
		if a := api.Do(t, http.MethodDelete, "/sse_chat/hubs/chat"+path, ""); a.Status != http.StatusNoContent {
			t.Fatalf("DELETE %s: %d %s", path, a.Status, a.Body)
		}
	}
	for restarted := range 2 {
		for room, header := range map[string][]string{"tea": {keyOfKim}, "den": nil} {
			if a, want := send(room, "deleted", header...), fmt.Sprintf(`{"id":%q,"deleted":true}`, removed[room].ID); a.Status != http.StatusOK || a.Body != want {
				t.Errorf("after %d restarts a repeat in %s is answered %d %s, want %s", restarted, room, a.Status, a.Body, want)
			}
		}
		if a := send("tea", "kept", keyOfLee); a.Body != kept.Body {
			t.Errorf("after %d restarts the repeat of another author is answered %s, want %s", restarted, a.Body, kept.Body)
		}
		chattest.Eventually(t, "the forgotten room is in no backup", func() bool { return !strings.Contains(backup(), "den deleted secret") })
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
	s := chattest.At("http://"+chattest.FreeAddr(t), &http.Client{Transport: new(http.Transport)})
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
`, rest, s.Addr, access)
	if err := caddytest.LoadCaddyfile(t, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Client.CloseIdleConnections()
		_ = caddy.Stop()
	})
	secrets := []string{"good-secret-of-22-bytes-and-more", "bad+secret-of-22-bytes-and-more", "short-secret"}
	for i, secret := range secrets {
		key := "Authorization: Author-Key " + secret
		path := fmt.Sprintf("room=r%d", i)
		for _, body := range []string{`{"text":"x"}`, `{"text":"x"}`, `{"text":"too fast"}`, `{`, `{"text":"` + strings.Repeat("x", 101) + `"}`} {
			s.Do(t, http.MethodPost, "/update?"+path, body, key)
		}
		s.Do(t, http.MethodPut, "/update?"+path, `{"text":"x"}`, key)
		s.Do(t, http.MethodGet, "/history?"+path, "", key)
		for _, prefix := range []string{"", "/plain"} {
			c := s.Stream(t, prefix+"/subscribe?"+path, key)
			c.Until(t, "retry: ")
			c.Close()
		}
	}
	var lines map[string]map[string]any
	chattest.Eventually(t, "all is logged", func() bool {
		lines = chattest.AccessLog(t, access)
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
