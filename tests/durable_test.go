package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/bolt"
)

// restart ends a site's Caddy and starts another one.
func restart(t *testing.T, p *caddytest.Process, block string) *caddytest.Process {
	t.Helper()
	p.Terminate(t)
	return caddytest.Start(t, p.URL, block)
}

// A durable hub goes on where it was: readers resume, repeats are known, and
// ids of a store that was lost are told from those of this one.
func TestARestartIsNoGapOnDisk(t *testing.T) {
	block := fmt.Sprintf("sse_chat {\nstore bolt %s\nretain 3\n}", filepath.Join(t.TempDir(), "chat.db"))
	p := caddytest.Start(t, "http://"+chattest.FreeAddr(t), block)
	var a []chattest.Message
	for i := range 5 {
		a = append(a, p.Post(t, "/update?room=a", fmt.Sprint(i)))
	}
	repeat := `{"text":"once","nonce":"n"}`
	first := p.Do(t, http.MethodPost, "/update?room=b", repeat)

	p = restart(t, p, block)
	if again := p.Do(t, http.MethodPost, "/update?room=b", repeat); again.Body != first.Body {
		t.Errorf("a repeat is answered %s, want %s", again.Body, first.Body)
	}
	hello := p.Stream(t, "/subscribe?room=a&events=1").Next(t)
	var told struct{ Latest, Oldest string }
	if hello.Decode(t, &told); told.Latest != a[4].ID || told.Oldest != a[2].ID {
		t.Errorf("a reader is told %+v, want from %s to %s", told, a[2].ID, a[4].ID)
	}
	resumed := p.Stream(t, "/subscribe?room=a", "Last-Event-ID: "+a[3].ID)
	late := p.Stream(t, "/subscribe?room=a", "Last-Event-ID: "+a[0].ID)
	newest := p.Stream(t, "/subscribe?room=a&room=b&last=2")
	future := chattest.MustID(t, a[4].ID)
	future.Ms += 1e6
	rolledBack := p.Stream(t, "/subscribe?room=b", "Last-Event-ID: "+future.String())
	after := p.Post(t, "/update?room=a", "after")

	for _, want := range []chattest.Message{a[4], after} {
		if got := resumed.Next(t).Message(t); got != want {
			t.Errorf("one who resumes got %+v, want %+v", got, want)
		}
	}
	if got, want := late.Next(t), (chattest.Event{Name: "gap", Data: fmt.Sprintf(`{"reason":"expired","oldest":%q}`, a[2].ID)}); got != want {
		t.Errorf("one who was away for long got %+v, want %+v", got, want)
	}
	for _, want := range []chattest.Message{a[2], a[3], a[4], after} {
		if got := late.Next(t).Message(t); got != want {
			t.Errorf("one who was away for long got %+v, want %+v", got, want)
		}
	}
	if got := newest.Next(t).Message(t); got != a[4] {
		t.Errorf("the second newest is %+v, want %+v", got, a[4])
	}
	var once chattest.Message
	if err := json.Unmarshal([]byte(first.Body), &once); err != nil {
		t.Fatal(err)
	}
	if got := newest.Next(t).Message(t); got != once {
		t.Errorf("the newest is %+v, want %+v", got, once)
	}
	if got, want := rolledBack.Next(t), (chattest.Event{Name: "gap", Data: fmt.Sprintf(`{"reason":"rollback","oldest":%q}`, once.ID)}); got != want {
		t.Errorf("one from the future got %+v, want %+v", got, want)
	}
}

// Options change with a reload, while the file stays open and streams resume.
func TestReloadOnDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	s := caddytest.ServeSite(t, "sse_chat {\nstore bolt chat.db\n}")
	c := s.Stream(t, "/subscribe")
	var sent []chattest.Message
	for i := range 5 {
		sent = append(sent, s.Post(t, "/update", fmt.Sprint(i)))
		if got := c.Next(t).Message(t); got != sent[i] {
			t.Fatalf("got %+v, want %+v", got, sent[i])
		}
	}
	path, err := filepath.Abs("chat.db")
	if err != nil {
		t.Fatal(err)
	}
	// the same file under another name
	caddytest.Load(t, s, fmt.Sprintf("sse_chat {\nstore bolt %s\nretain 2 1h\nheartbeat 1s\nmax_rooms 7\n}", path))
	if n := caddytest.Hub(t, "default").Counters.Published; n != len(sent) {
		t.Errorf("%d messages are counted, want %d: the file was opened again", n, len(sent))
	}
	resumed := s.Stream(t, "/subscribe", "Last-Event-ID: "+sent[2].ID)
	for _, want := range sent[3:] {
		if got := resumed.Next(t).Message(t); got != want {
			t.Errorf("one who resumes got %+v, want %+v", got, want)
		}
	}
	chattest.Eventually(t, "no more is kept than the new options say", func() bool {
		a := s.Do(t, http.MethodGet, "/history", "")
		return strings.Count(a.Body, `"text"`) == 2
	})
}

// A file that cannot be used is an error at the start, which names it.
func TestFilesThatAreErrorsAtTheStart(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.db")
	if err := os.WriteFile(bad, []byte(strings.Repeat("no bolt file\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(dir, "used.db")
	other := caddytest.Start(t, "http://"+chattest.FreeAddr(t), fmt.Sprintf("sse_chat {\nstore bolt %s\n}", used))
	shared := filepath.Join(dir, "shared.db")
	for _, test := range []struct {
		name, block string
		want        []string
	}{
		{"not a bolt file", "sse_chat {\nstore bolt " + bad + "\n}", []string{bad, "not a bolt file"}},
		{"a missing folder", "sse_chat {\nstore bolt " + dir + "/none/chat.db\n}", []string{dir + "/none/chat.db", "no such file"}},
		{"in use", "sse_chat {\nstore bolt " + used + "\n}", []string{used, fmt.Sprint(other.Pid)}},
		{
			"two hubs", "sse_chat /one/* {\nhub one\nstore bolt " + shared + "\n}\nsse_chat /two/* {\nhub two\nstore bolt " + shared + "\n}",
			[]string{shared, `"one"`, `"two"`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := caddytest.LoadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\n%s\n}\n", caddytest.GlobalOptions(), chattest.FreeAddr(t), test.block))
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %q, which lacks %q", err, want)
				}
			}
		})
	}
	if content, _ := os.ReadFile(bad); len(content) != 13*1000 {
		t.Error("the file was changed")
	}
}

// A copy can be taken while the hub runs, and is all of it.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	admin, addr := chattest.FreeAddr(t), chattest.FreeAddr(t)
	s, api := chattest.At("http://"+addr, http.DefaultClient), chattest.At("http://"+admin, http.DefaultClient)
	config := fmt.Sprintf("{\nadmin %s\npersist_config off\nlog {\noutput discard\n}\n}\nhttp://%s {\nsse_chat {\nhub chat\nstore bolt %s/chat.db\nretain 100000\n}\n}\n", admin, addr, dir)
	if err := caddytest.LoadCaddyfile(t, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	var sent []chattest.Message
	for i := range 50 {
		sent = append(sent, s.Post(t, "/update?room=a", fmt.Sprint(i)))
	}
	publishing := make(chan struct{})
	go func() {
		defer close(publishing)
		for range 100 {
			s.Post(t, "/update?room=b", "meanwhile")
		}
	}()
	backup := api.Do(t, http.MethodGet, "/sse_chat/backups/chat", "")
	<-publishing
	if backup.Status != http.StatusOK {
		t.Fatalf("the backup is answered %d %s", backup.Status, backup.Body)
	}
	for path, want := range map[string]int{"GET /sse_chat/backups/none": 404, "GET /sse_chat/backups/": 404, "POST /sse_chat/backups/chat": 405} {
		method, path, _ := strings.Cut(path, " ")
		if a := api.Do(t, method, path, ""); a.Status != want {
			t.Errorf("%s %s is answered %d, want %d", method, path, a.Status, want)
		}
	}
	if files, _ := filepath.Glob(dir + "/*"); len(files) != 1 {
		t.Errorf("left behind are %v", files)
	}

	path := filepath.Join(dir, "backup.db")
	if err := os.WriteFile(path, []byte(backup.Body), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := hub.Open(hubtest.Plenty, func(hub store.Hub, limits store.Limits) (store.Store, error) {
		return bolt.Open(path, "copy", hub, limits, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	page, err := b.After(t.Context(), "a", store.ID{}, 100)
	if err != nil || len(page.Messages) != len(sent) {
		t.Fatalf("%d messages are in the backup, %v, want %d", len(page.Messages), err, len(sent))
	}
	for i, m := range page.Messages {
		if m.ID.String() != sent[i].ID {
			t.Errorf("message %d is %v, want %s", i, m.ID, sent[i].ID)
		}
	}
	// a new room does not get the place of an old one
	hubtest.Publish(t, b, "c", "x")
	if page, err := b.After(t.Context(), "c", store.ID{}, 100); err != nil || len(page.Messages) != 1 {
		t.Errorf("%d messages are in a new room, %v", len(page.Messages), err)
	}
}

// However many small batches come at once, all are answered.
func TestManyTinyBatchesAtOnceAreAnswered(t *testing.T) {
	s := caddytest.Serve(t, "store bolt "+filepath.Join(t.TempDir(), "chat.db"))
	var publishing sync.WaitGroup
	for b := range 60 {
		publishing.Go(func() {
			var body strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&body, `{"text":"x","nonce":"%d-%d"}`+"\n", b, i)
			}
			if a := s.Do(t, http.MethodPost, fmt.Sprint("/update?room=r", b%5), body.String(), "Content-Type: application/x-ndjson"); a.Status != http.StatusOK {
				t.Errorf("a batch is answered %d %.200s", a.Status, a.Body)
			}
		})
	}
	publishing.Wait()
}

// Publishers are refused as soon as the file is not where it was, operators are
// told, and readers stay.
func TestAFileThatIsReplacedWhileItIsOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chat.db")
	s := caddytest.ServeSites(t, record, "sse_chat {\nstore bolt "+path+"\n}")
	chat := s.Sites[0]
	c := chat.Stream(t, "/subscribe")
	first := chat.Post(t, "/update", "x")
	if got := c.Next(t).Message(t); got != first {
		t.Errorf("a reader got %+v", got)
	}
	// a backup, as somebody might restore it without a stop
	backup := s.Admin.Do(t, http.MethodGet, "/sse_chat/backups/default", "")
	if err := os.WriteFile(filepath.Join(dir, "backup.db"), []byte(backup.Body), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "backup.db"), path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		a := chat.Do(t, http.MethodPost, "/update", `{"text":"x"}`)
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "until a restart") {
			t.Errorf("a message is answered %d %s", a.Status, a.Body)
		}
	}
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{`store_up{hub="default"}`: 0})
	if got := heard(t, 1); len(got) != 1 || !strings.Contains(got[0], "store_down default") || !strings.Contains(got[0], "another one is in its place") {
		t.Errorf("heard %q", got)
	}
	s.Admin.EndStreams(t, "default", "all")
	if rest, err := c.Rest(t); !onlyRetry.MatchString(rest) || err != io.EOF {
		t.Errorf("before its end a reader got %q, %v", rest, err)
	}
}
