package recipes

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

func contrib(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "contrib", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var metricName = regexp.MustCompile(`caddy_sse_chat_[a-z_]+`)

// Metrics, dashboard and alerts agree: a scrape has every metric that the latter
// two name, and the documentation names every metric of a scrape.
func TestMetrics(t *testing.T) {
	url, prometheus := freeURL(t), freeURL(t)
	runCaddy(t, url, recipe(t, "metrics.Caddyfile", "chat.example.com", url, "http://localhost:9180", prometheus))
	s := subscribe(t, url+"/subscribe")
	want(t, http.StatusOK, http.MethodPost, url+"/update", text("x"))
	s.Line(t, "data:")
	var a chattest.Answer
	chattest.Eventually(t, "the delivery is counted", func() bool { // after the reader has it
		a = want(t, http.StatusOK, http.MethodGet, prometheus, "")
		return strings.Contains(a.Body, `caddy_sse_chat_messages_delivered_total{hub="default"} 1`)
	})
	scraped := make(map[string]bool)
	for _, name := range metricName.FindAllString(a.Body, -1) {
		scraped[name] = true
	}
	for _, file := range []string{"grafana.json", "alerts.yml"} {
		names := metricName.FindAllString(contrib(t, file), -1)
		if len(names) < 5 {
			t.Errorf("%s names only %v", file, names)
		}
		for _, name := range names {
			if !scraped[name] {
				t.Errorf("%s has %s, which no scrape has", file, name)
			}
		}
	}
	docs, err := os.ReadFile(root + "/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(scraped)) {
		name = strings.TrimPrefix(name, "caddy_sse_chat")
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if !strings.Contains(string(docs), "`"+name+"`") && !strings.Contains(string(docs), "`caddy_sse_chat"+name+"`") {
			t.Errorf("docs/operations.md does not name %s", name)
		}
	}
	// from elsewhere than this machine it is not served
	if a := do(t, http.MethodGet, url+"/metrics", ""); a.Status != http.StatusNotFound {
		t.Errorf("the chat's site serves metrics: %d", a.Status)
	}
}

func TestDashboardAndAlertsAreWellFormed(t *testing.T) {
	var dashboard struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(contrib(t, "grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for i, panel := range dashboard.Panels {
		if seen[panel.ID] || panel.Title == "" || len(panel.Targets) == 0 || panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("panel %d: %+v", i, panel)
		}
		seen[panel.ID] = true
		for _, target := range panel.Targets {
			if !strings.Contains(target.Expr, `hub=~"$hub"`) || !balanced(target.Expr) {
				t.Errorf("panel %q: %s", panel.Title, target.Expr)
			}
		}
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(contrib(t, "alerts.yml")), &rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) < 5 {
		t.Fatalf("%+v", rules)
	}
	for _, rule := range rules.Groups[0].Rules {
		_, err := time.ParseDuration(rule.For)
		if rule.Alert == "" || !balanced(rule.Expr) || err != nil || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%+v, %v", rule, err)
		}
	}
}

func balanced(expr string) bool {
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
			return false
		}
	}
	return expr != ""
}

// unit reads the settings of the systemd unit.
func unit(t *testing.T) map[string]string {
	t.Helper()
	settings := make(map[string]string)
	for line := range strings.Lines(contrib(t, "sse-chat.service")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			settings[name] = value
		}
	}
	return settings
}

// systemd accepts the unit, and its commands work: the service reports when it is
// ready, reloads, and ends in time.
func TestSystemdUnit(t *testing.T) {
	caddy := binary(t)
	file := writeFile(t, "sse-chat.service", strings.ReplaceAll(contrib(t, "sse-chat.service"), "/usr/local/bin/caddy", caddy))
	if out, err := exec.Command(program(t, "systemd-analyze"), "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}

	settings := unit(t)
	url := freeURL(t)
	config := writeFile(t, "Caddyfile", "{\n\tpersist_config off\n}\n\n"+url+" {\n\tsse_chat\n}\n")
	command := func(setting string) []string {
		line := strings.NewReplacer("/usr/local/bin/caddy", caddy, "/etc/sse-chat/Caddyfile", config).Replace(settings[setting])
		return strings.Fields(line)
	}
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	notified := func(what string) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(chattest.Patience))
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("systemd is not told %s: %v", what, err)
			}
			if strings.Contains(string(buf[:n]), what) {
				return
			}
		}
	}
	env := []string{"NOTIFY_SOCKET=" + socket, "CADDY_ADMIN=127.0.0.1:" + chattest.FreePort(t)}
	run := command("ExecStart")
	p := start(t, env, run[0], run[1:]...)
	notified("READY=1")
	p.waitFor(t, url)
	s := subscribe(t, url+"/subscribe")
	reload := command("ExecReload")
	cmd := exec.Command(reload[0], reload[1:]...)
	cmd.Env = p.cmd.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("reload: %v\n%s", err, out)
	}
	notified("RELOADING=1")
	notified("READY=1")
	p.waitFor(t, url)
	want(t, http.StatusOK, http.MethodPost, url+"/update", text("after the reload"))
	s.Line(t, "after the reload")
	limit, err := time.ParseDuration(settings["TimeoutStopSec"])
	if err != nil || limit < 10*time.Second {
		t.Errorf("TimeoutStopSec is %s, %v", settings["TimeoutStopSec"], err)
	}
	subscribe(t, url+"/subscribe")
	if d := p.stop(t, syscall.SIGTERM); d > limit {
		t.Errorf("the exit took %s, longer than systemd waits", d)
	}
}

// The container needs only the binary: it runs in an otherwise empty folder, with
// the user and the command of the Containerfile.
func TestContainer(t *testing.T) {
	file := contrib(t, "Containerfile")
	_, image, ok := strings.Cut(file, "\nFROM scratch\n")
	if !ok {
		t.Fatal("the image is not made from scratch")
	}
	instructions := make(map[string]string)
	for line := range strings.Lines(image) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		instructions[name] = value
	}
	var entrypoint, command, health []string
	_, instructions["health"], _ = strings.Cut(instructions["HEALTHCHECK"], " CMD ")
	for name, list := range map[string]*[]string{"ENTRYPOINT": &entrypoint, "CMD": &command, "health": &health} {
		if err := json.Unmarshal([]byte(instructions[name]), list); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for port := range strings.FieldsSeq(instructions["EXPOSE"]) {
		var n int
		if _, err := fmt.Sscan(strings.TrimSuffix(port, "/udp"), &n); err != nil || n < 1024 {
			t.Errorf("EXPOSE %s: a user who is not root may not listen there", port)
		}
	}
	var uid, gid uint32
	if _, err := fmt.Sscanf(instructions["USER"], "%d:%d", &uid, &gid); err != nil || uid == 0 {
		t.Fatalf("USER %s: %v", instructions["USER"], err)
	}
	makefile, err := os.ReadFile(root + "/Makefile")
	if err != nil || !strings.Contains(file, "RUN make build") || !strings.Contains(string(makefile), "\nbuild: caddy\n") {
		t.Errorf("the image is not built by make build: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can run a program in another root")
	}
	caddy := binary(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for another user
		t.Fatal(err)
	}
	content, err := os.ReadFile(caddy)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/caddy", content, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/data", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir+"/data", int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	inside := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir = instructions["WORKDIR"]
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: uid, Gid: gid}}
		return cmd
	}
	env := strings.Fields(instructions["ENV"])
	// the ports of this machine may be taken
	addr, admin, metrics := "127.0.0.1:"+chattest.FreePort(t), "127.0.0.1:"+chattest.FreePort(t), "127.0.0.1:"+chattest.FreePort(t)
	p := startCmd(t, env, inside(entrypoint[0], slices.Concat(entrypoint[1:], command, []string{"--listen", addr, "--admin", admin, "--metrics", metrics})...))
	p.waitFor(t, "http://"+addr)
	wantPage(t, "http://"+addr)
	want(t, http.StatusOK, http.MethodPost, "http://"+addr+"/update", text("kept"))
	if _, err := os.Stat(dir + "/data/chat.db"); err != nil {
		t.Errorf("the messages are not on the volume: %v", err)
	}
	for _, url := range []string{"http://" + admin + "/metrics", "http://" + metrics + "/metrics"} {
		if a := want(t, http.StatusOK, http.MethodGet, url, ""); !strings.Contains(a.Body, "caddy_sse_chat_messages_published_total") {
			t.Errorf("%s has no metrics of the chat: %.200s", url, a.Body)
		}
	}
	check := func() error {
		cmd := inside(health[0], append(health[1:], "--listen", addr)...)
		cmd.Env = env
		return cmd.Run()
	}
	if err := check(); err != nil {
		t.Errorf("the health check of a chat that serves: %v", err)
	}
	p.stop(t, syscall.SIGTERM)
	if check() == nil {
		t.Error("the health check of a chat that is gone succeeds")
	}

	// a Caddyfile of one's own, as the file says
	port := chattest.FreePort(t)
	caddyfile := "{\n\tadmin off\n\thttp_port " + port + "\n}\n\nhttp://localhost {\n\tsse_chat\n}\n"
	if !strings.Contains(file, "http_port 8080") {
		t.Error("the Containerfile does not say how to do without ports below 1024")
	}
	if err := os.WriteFile(dir+"/Caddyfile", []byte(caddyfile), 0o644); err != nil { //nolint:gosec // another user has to read it
		t.Fatal(err)
	}
	p = startCmd(t, env, inside("/caddy", "run", "--config", "/Caddyfile", "--adapter", "caddyfile"))
	p.waitFor(t, "http://localhost:"+port)
	want(t, http.StatusOK, http.MethodPost, "http://localhost:"+port+"/update", text("x"))
	p.stop(t, syscall.SIGTERM)
}
