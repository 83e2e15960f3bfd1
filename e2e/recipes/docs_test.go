package recipes

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The documentation shows each tested recipe verbatim and formatted.
func TestTheDocumentationShowsTheRecipes(t *testing.T) {
	docs := recipe(t, "README.md")
	files, err := filepath.Glob(filepath.Join(root, "docs/recipes/*"))
	if err != nil || len(files) < 14 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name == "README.md" {
			continue
		}
		if !strings.Contains(docs, "[`"+name+"`]("+name+")\n\n```") || !strings.Contains(docs, "\n"+recipe(t, name)+"```\n") {
			t.Errorf("README.md does not show %s as it is", name)
		}
		if strings.HasSuffix(name, "Caddyfile") {
			if out, err := exec.Command(binary(t), "fmt", "--diff", file).CombinedOutput(); err != nil {
				t.Errorf("%s is not formatted: %v\n%s", name, err, out)
			}
		}
	}
}

// The commands of the admin API do what the documentation says.
func TestAdminAPI(t *testing.T) {
	docs, err := os.ReadFile(root + "/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?m)^curl .*/sse_chat/.*$").FindAllString(string(docs), -1)
	if len(commands) != 9 {
		t.Fatalf("the documentation has %q", commands)
	}
	url := freeURL(t)
	s := runCaddy(t, url, url+" {\n\tsse_chat {\n\t\tpush mailto:ops@example.com\n\t}\n}\n")
	page := subscribe(t, url+"/subscribe?room=tea&name=kim&events=1")
	a := want(t, http.StatusOK, http.MethodPost, url+"/update?room=tea", text("bad"))
	page.Line(t, "bad")
	id := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(a.Body)[1]
	want(t, http.StatusOK, http.MethodPost, url+"/update?room=tea", text("good"))

	run := func(command string) string {
		t.Helper()
		command = strings.NewReplacer("localhost:2019", s.admin, "1795353900585", id, "curl ", "curl -sSf ").Replace(command)
		out, err := exec.Command("sh", "-c", command).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	if out := run(commands[0]); !strings.Contains(out, `"name":"default","store":"memory","store_up":true,"rooms":1,"subscribers":1`) {
		t.Errorf("hubs: %s", out)
	}
	if out := run(commands[1]); out != `[{"name":"tea","messages":2,"subscribers":1,"names":["kim"]}]`+"\n" {
		t.Errorf("rooms: %s", out)
	}
	run(commands[2])
	page.Line(t, `data: {"id":"`+id+`","room":"tea"}`)
	if a := want(t, http.StatusOK, http.MethodGet, url+"/history?room=tea", ""); strings.Contains(a.Body, "bad") || !strings.Contains(a.Body, "good") {
		t.Errorf("history without the message: %s", a.Body)
	}
	run(commands[3])
	if a := want(t, http.StatusOK, http.MethodGet, url+"/history?room=tea", ""); !strings.Contains(a.Body, `"messages":[]`) {
		t.Errorf("history of the forgotten room: %s", a.Body)
	}
	run(commands[4])
	page.Line(t, `data: {"reason":"kicked"`)
	lastLine(t, page)
	want(t, http.StatusNoContent, http.MethodGet, url+"/subscribe?name=kim", "")
	for _, command := range commands[5:7] {
		tea := subscribe(t, url+"/subscribe?room=tea&events=1")
		tea.Line(t, "event: hello")
		run(command)
		tea.Line(t, "event: bye")
		lastLine(t, tea)
	}
	for _, command := range commands[7:] {
		run(command)
	}
	want(t, http.StatusNotFound, http.MethodDelete, "http://"+s.admin+"/sse_chat/hubs/default/messages/"+id, "")
	want(t, http.StatusNotFound, http.MethodGet, "http://"+s.admin+"/sse_chat/hubs/none/rooms", "")
	want(t, http.StatusBadRequest, http.MethodDelete, "http://"+s.admin+"/sse_chat/hubs/default/subscribers", "")
	want(t, http.StatusMethodNotAllowed, http.MethodPost, "http://"+s.admin+"/sse_chat/hubs", "")
}

// Messages deleted from a file stay deleted after a restart, and rooms without
// readers are listed.
func TestModerationOutlivesARestart(t *testing.T) {
	url := freeURL(t)
	caddyfile := url + " {\n\tsse_chat {\n\t\tstore bolt " + filepath.Join(t.TempDir(), "chat.db") + "\n\t}\n}\n"
	s := runCaddy(t, url, caddyfile)
	post := func(room, body string) string {
		t.Helper()
		a := want(t, http.StatusOK, http.MethodPost, url+"/update?room="+room, text(body))
		return regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(a.Body)[1]
	}
	first, bad := post("tea", "first"), post("tea", "bad")
	post("tea", "last")
	post("gossip", "forgotten")
	hub := func() string { return "http://" + s.admin + "/sse_chat/hubs/default" }
	want(t, http.StatusNoContent, http.MethodDelete, hub()+"/messages/"+bad, "")
	want(t, http.StatusNoContent, http.MethodDelete, hub()+"/rooms/gossip", "")
	s.stop(t, os.Interrupt)

	s = runCaddy(t, url, caddyfile)
	a := want(t, http.StatusOK, http.MethodGet, hub()+"/rooms", "")
	if rooms := `[{"name":"tea","messages":2,"subscribers":0}]` + "\n"; a.Body != rooms {
		t.Errorf("rooms: %s, want %s", a.Body, rooms)
	}
	replay := subscribe(t, url+"/subscribe?room=tea&last_event_id="+first)
	if line := replay.Line(t, "data:"); !strings.Contains(line, `"last"`) {
		t.Errorf("after %s comes %s", first, line)
	}
	for _, room := range []string{"tea", "gossip"} {
		if a := want(t, http.StatusOK, http.MethodGet, url+"/history?room="+room, ""); strings.Contains(a.Body, "bad") || strings.Contains(a.Body, "forgotten") {
			t.Errorf("history of %s: %s", room, a.Body)
		}
	}
	want(t, http.StatusNotFound, http.MethodDelete, hub()+"/messages/"+bad, "")
}
