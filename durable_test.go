package ssechat

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/bolt"
)

// restart ends a site's Caddy and starts another one.
func (p *process) restart(t *testing.T, block string) *process {
	t.Helper()
	p.caddy.Terminate(t)
	return start(t, p.url, block)
}

// A durable hub goes on where it was: readers resume, repeats are known, and
// ids of a store that was lost are told from those of this one.
func TestARestartIsNoGapOnDisk(t *testing.T) {
	block := fmt.Sprintf("sse_chat {\nstore bolt %s\nretain 3\n}", filepath.Join(t.TempDir(), "chat.db"))
	p := start(t, "http://"+freeAddr(t), block)
	var a []chattest.Message
	for i := range 5 {
		a = append(a, p.post(t, "/update?room=a", fmt.Sprint(i)))
	}
	repeat := `{"text":"once","nonce":"n"}`
	first := p.do(t, http.MethodPost, "/update?room=b", repeat)

	p = p.restart(t, block)
	if again := p.do(t, http.MethodPost, "/update?room=b", repeat); again.body != first.body {
		t.Errorf("a repeat is answered %s, want %s", again.body, first.body)
	}
	hello := p.stream(t, "/subscribe?room=a&events=1").next(t)
	var told struct{ Latest, Oldest string }
	if hello.Decode(t, &told); told.Latest != a[4].ID || told.Oldest != a[2].ID {
		t.Errorf("a reader is told %+v, want from %s to %s", told, a[2].ID, a[4].ID)
	}
	resumed := p.stream(t, "/subscribe?room=a", "Last-Event-ID: "+a[3].ID)
	late := p.stream(t, "/subscribe?room=a", "Last-Event-ID: "+a[0].ID)
	newest := p.stream(t, "/subscribe?room=a&room=b&last=2")
	future := parsedID(t, a[4].ID)
	future.Ms += 1e6
	rolledBack := p.stream(t, "/subscribe?room=b", "Last-Event-ID: "+future.String())
	after := p.post(t, "/update?room=a", "after")

	for _, want := range []chattest.Message{a[4], after} {
		if got := resumed.next(t).Message(t); got != want {
			t.Errorf("one who resumes got %+v, want %+v", got, want)
		}
	}
	if got, want := late.next(t), (chattest.Event{Name: "gap", Data: fmt.Sprintf(`{"reason":"expired","oldest":%q}`, a[2].ID)}); got != want {
		t.Errorf("one who was away for long got %+v, want %+v", got, want)
	}
	for _, want := range []chattest.Message{a[2], a[3], a[4], after} {
		if got := late.next(t).Message(t); got != want {
			t.Errorf("one who was away for long got %+v, want %+v", got, want)
		}
	}
	if got := newest.next(t).Message(t); got != a[4] {
		t.Errorf("the second newest is %+v, want %+v", got, a[4])
	}
	var once chattest.Message
	if err := json.Unmarshal([]byte(first.body), &once); err != nil {
		t.Fatal(err)
	}
	if got := newest.next(t).Message(t); got != once {
		t.Errorf("the newest is %+v, want %+v", got, once)
	}
	if got, want := rolledBack.next(t), (chattest.Event{Name: "gap", Data: fmt.Sprintf(`{"reason":"rollback","oldest":%q}`, once.ID)}); got != want {
		t.Errorf("one from the future got %+v, want %+v", got, want)
	}
}

func parsedID(t *testing.T, s string) store.ID {
	t.Helper()
	id, err := store.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Options change with a reload, while the file stays open and streams resume.
func TestReloadOnDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	s := serveSite(t, "sse_chat {\nstore bolt chat.db\n}")
	opened := hubOf(t, "default")
	c := s.stream(t, "/subscribe")
	var sent []chattest.Message
	for i := range 5 {
		sent = append(sent, s.post(t, "/update", fmt.Sprint(i)))
		if got := c.next(t).Message(t); got != sent[i] {
			t.Fatalf("got %+v, want %+v", got, sent[i])
		}
	}
	path, err := filepath.Abs("chat.db")
	if err != nil {
		t.Fatal(err)
	}
	// the same file under another name
	s.load(t, fmt.Sprintf("sse_chat {\nstore bolt %s\nretain 2 1h\nheartbeat 1s\nmax_rooms 7\n}", path))
	if again := hubOf(t, "default"); again != opened {
		t.Error("the file was opened again")
	}
	resumed := s.stream(t, "/subscribe", "Last-Event-ID: "+sent[2].ID)
	for _, want := range sent[3:] {
		if got := resumed.next(t).Message(t); got != want {
			t.Errorf("one who resumes got %+v, want %+v", got, want)
		}
	}
	eventually(t, "no more is kept than the new options say", func() bool {
		a := s.do(t, http.MethodGet, "/history", "")
		return strings.Count(a.body, `"text"`) == 2
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
	other := start(t, "http://"+freeAddr(t), fmt.Sprintf("sse_chat {\nstore bolt %s\n}", used))
	shared := filepath.Join(dir, "shared.db")
	for _, test := range []struct {
		name, block string
		want        []string
	}{
		{"not a bolt file", "sse_chat {\nstore bolt " + bad + "\n}", []string{bad, "not a bolt file"}},
		{"a missing folder", "sse_chat {\nstore bolt " + dir + "/none/chat.db\n}", []string{dir + "/none/chat.db", "no such file"}},
		{"in use", "sse_chat {\nstore bolt " + used + "\n}", []string{used, fmt.Sprint(other.caddy.Pid)}},
		{
			"two hubs", "sse_chat /one/* {\nhub one\nstore bolt " + shared + "\n}\nsse_chat /two/* {\nhub two\nstore bolt " + shared + "\n}",
			[]string{shared, `"one"`, `"two"`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := loadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\n%s\n}\n", globalOptions, freeAddr(t), test.block))
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
	admin, addr := freeAddr(t), freeAddr(t)
	s := &site{addr: addr, url: "http://" + addr, client: http.DefaultClient}
	config := fmt.Sprintf("{\nadmin %s\npersist_config off\nlog {\noutput discard\n}\n}\nhttp://%s {\nsse_chat {\nhub chat\nstore bolt %s/chat.db\nretain 100000\n}\n}\n", admin, addr, dir)
	if err := loadCaddyfile(t, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	var sent []chattest.Message
	for i := range 50 {
		sent = append(sent, s.post(t, "/update?room=a", fmt.Sprint(i)))
	}
	publishing := make(chan struct{})
	go func() {
		defer close(publishing)
		for range 100 {
			s.post(t, "/update?room=b", "meanwhile")
		}
	}()
	api := &site{addr: admin, url: "http://" + admin, client: http.DefaultClient}
	backup := api.do(t, http.MethodGet, "/sse_chat/backups/chat", "")
	<-publishing
	if backup.status != http.StatusOK {
		t.Fatalf("the backup is answered %d %s", backup.status, backup.body)
	}
	for path, want := range map[string]int{"GET /sse_chat/backups/none": 404, "GET /sse_chat/backups/": 404, "POST /sse_chat/backups/chat": 405} {
		method, path, _ := strings.Cut(path, " ")
		if a := api.do(t, method, path, ""); a.status != want {
			t.Errorf("%s %s is answered %d, want %d", method, path, a.status, want)
		}
	}
	if files, _ := filepath.Glob(dir + "/*"); len(files) != 1 {
		t.Errorf("left behind are %v", files)
	}

	path := filepath.Join(dir, "backup.db")
	if err := os.WriteFile(path, []byte(backup.body), 0o600); err != nil {
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
	s := serve(t, "store bolt "+filepath.Join(t.TempDir(), "chat.db"))
	var publishing sync.WaitGroup
	for b := range 60 {
		publishing.Go(func() {
			var body strings.Builder
			for i := range maxBatchLines {
				fmt.Fprintf(&body, `{"text":"x","nonce":"%d-%d"}`+"\n", b, i)
			}
			if a := s.do(t, http.MethodPost, fmt.Sprint("/update?room=r", b%5), body.String(), "Content-Type: application/x-ndjson"); a.status != http.StatusOK {
				t.Errorf("a batch is answered %d %.200s", a.status, a.body)
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
	s := serveSites(t, record, "sse_chat {\nstore bolt "+path+"\n}")
	chat := s.sites[0]
	c := chat.stream(t, "/subscribe")
	first := chat.post(t, "/update", "x")
	if got := c.next(t).Message(t); got != first {
		t.Errorf("a reader got %+v", got)
	}
	// a backup, as somebody might restore it without a stop
	backup := s.admin.do(t, http.MethodGet, "/sse_chat/backups/default", "")
	if err := os.WriteFile(filepath.Join(dir, "backup.db"), []byte(backup.body), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "backup.db"), path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		a := chat.do(t, http.MethodPost, "/update", `{"text":"x"}`)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "until a restart") {
			t.Errorf("a message is answered %d %s", a.status, a.body)
		}
	}
	expect(t, s.scrape(t), map[string]float64{`store_up{hub="default"}`: 0})
	if got := heard(t, 1); len(got) != 1 || !strings.Contains(got[0], "store_down default") || !strings.Contains(got[0], "another one is in its place") {
		t.Errorf("heard %q", got)
	}
	c.quiet(t, 50*time.Millisecond)
}
