package e2e

import (
	"debug/buildinfo"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// The binary that make run starts serves the page and the chat with the
// Caddyfile that is in the repository.
func TestTheShippedCaddyfile(t *testing.T) {
	binary := os.Getenv("CADDY")
	if binary == "" {
		t.Skip("CADDY does not name a built binary; make e2e does")
	}
	caddyfile, err := os.ReadFile("../Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	port := chattest.FreePort(t)
	config := strings.Replace(string(caddyfile), ":3000", "http://localhost:"+port, 1)
	config = strings.Replace(config, "{\n", "{\n\tadmin off\n\tpersist_config off\n", 1)
	file := t.TempDir() + "/Caddyfile"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "--config", file)
	cmd.Dir = ".." // as with make run, for the folder public
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	url := "http://localhost:" + port
	server := chattest.At(url, http.DefaultClient)
	server.Ready(t)
	if a := server.Do(t, http.MethodGet, "/", ""); a.Status != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("GET /: %d %v", a.Status, a.Header)
	}
	post(t, url+"/update", "hello")
	p := open(t, startBrowser(t), url+"/?lang=ko")
	wait(p, texts, []string{"hello"})
	wait(p, `document.documentElement.lang + ' ' + document.title`, "ko 로비")
}

// docs/licenses.md lists exactly the modules in the binary.
func TestAllThatIsInTheBinaryIsListed(t *testing.T) {
	binary := os.Getenv("CADDY")
	if binary == "" {
		t.Skip("CADDY does not name a built binary; make e2e does")
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var linked, listed []string
	for _, m := range info.Deps {
		if m.Replace == nil { // a replaced module is ours
			linked = append(linked, m.Path+" "+m.Version)
		}
	}
	list, err := os.ReadFile("../docs/licenses.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+) \| (v\d\S+) \|`).FindAllStringSubmatch(string(list), -1) {
		listed = append(listed, row[1]+" "+row[2])
	}
	slices.Sort(linked)
	listed = slices.Compact(listed) // a module may have more than one licence
	slices.Sort(listed)
	if !slices.Equal(linked, listed) {
		t.Errorf("linked are\n%s\nand listed are\n%s", strings.Join(linked, "\n"), strings.Join(listed, "\n"))
	}
}
