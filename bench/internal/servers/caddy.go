package servers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	// the servers that run in Caddy
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sse-chat/caddy-sse-chat"
)

// oursBlock is our directive, with an optional extra option. max_text is raised,
// because messages of 16 KB are measured too.
func oursBlock(option string) string {
	return "sse_chat {\n\t\tmax_text 30KiB\n\t\t" + option + "\n\t}"
}

func serveOursBolt(s Site) {
	serveCaddy(s, oursBlock(fmt.Sprintf("store bolt %q", filepath.Join(s.Dir, "chat.db"))))
}

// respondBlock also accepts readers, which receive nothing.
const respondBlock = "sse_chat {\n\t\tupdate /elsewhere\n\t}\n\theader /update Content-Type application/json\n\trespond /update \"{}\""

// serveCaddy serves a site block as caddy run does.
func serveCaddy(s Site, block string) {
	address := "http://" + s.Addr
	if s.tls() {
		address = "https://" + s.Addr
		block = fmt.Sprintf("tls %s %s\n\t%s", s.Cert, s.Key, block)
	}
	global := fmt.Sprintf("{\n\tadmin unix/%s\n\tpersist_config off\n\tskip_install_trust\n\tauto_https disable_redirects\n}", adminSocket(s))
	file := caddyfile(s)
	config := fmt.Sprintf("%s\n\n%s {\n\t%s\n}\n", global, address, strings.TrimSpace(block))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		log.Fatal(err)
	}
	os.Args = []string{"caddy", "run", "--config", file, "--adapter", "caddyfile"}
	caddycmd.Main()
}

func caddyfile(s Site) string   { return filepath.Join(s.Dir, "Caddyfile") }
func adminSocket(s Site) string { return filepath.Join(s.Dir, "admin.sock") }

// reloadCaddy loads another configuration through the admin API: one with a
// header, because Caddy ignores one that is the same.
func reloadCaddy(s Site, _ int) error {
	config, err := os.ReadFile(caddyfile(s))
	if err != nil {
		return err
	}
	changed := bytes.Replace(config, []byte(" {\n"), []byte(" {\n\theader X-Deployed 2\n"), 1)
	if bytes.Equal(changed, config) {
		return fmt.Errorf("no site in %s", config)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", adminSocket(s))
		},
	}}
	answer, err := client.Post("http://127.0.0.1/load", "text/caddyfile", bytes.NewReader(changed))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("a reload got status %d: %s", answer.StatusCode, why)
	}
	return nil
}
