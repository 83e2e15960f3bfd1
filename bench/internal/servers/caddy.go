package servers

import (
	"fmt"
	"log"
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

// respondBlock also accepts readers, which receive nothing.
const respondBlock = "sse_chat {\n\t\tupdate /elsewhere\n\t}\n\theader /update Content-Type application/json\n\trespond /update \"{}\""

// serveCaddy serves a site block as caddy run does.
func serveCaddy(s Site, block string) {
	address := "http://" + s.Addr
	if s.tls() {
		address = "https://" + s.Addr
		block = fmt.Sprintf("tls %s %s\n\t%s", s.Cert, s.Key, block)
	}
	const global = "{\n\tadmin off\n\tpersist_config off\n\tskip_install_trust\n\tauto_https disable_redirects\n}"
	file := filepath.Join(s.Dir, "Caddyfile")
	config := fmt.Sprintf("%s\n\n%s {\n\t%s\n}\n", global, address, strings.TrimSpace(block))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		log.Fatal(err)
	}
	os.Args = []string{"caddy", "run", "--config", file, "--adapter", "caddyfile"}
	caddycmd.Main()
}
