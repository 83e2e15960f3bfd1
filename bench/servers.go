package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	// the servers that run in Caddy
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sse-chat/caddy-sse-chat"
)

// serveMain is a server's process.
func serveMain(name string) {
	addr, dir := os.Getenv("BENCH_ADDR"), os.Getenv("BENCH_DIR")
	switch name {
	case "floor":
		serveFloor(addr)
	case "ours":
		serveCaddy(addr, dir, "sse_chat")
	case "respond":
		serveCaddy(addr, dir, "sse_chat {\n\t\tupdate /elsewhere\n\t}\n\theader /update Content-Type application/json\n\trespond /update \"{}\"")
	default:
		log.Fatalf("no server %q", name)
	}
}

// serveCaddy serves a site block as caddy run does.
func serveCaddy(addr, dir, block string) {
	file := filepath.Join(dir, "Caddyfile")
	config := fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n}\n\nhttp://%s {\n\t%s\n}\n", addr, block)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		log.Fatal(err)
	}
	os.Args = []string{"caddy", "run", "--config", file, "--adapter", "caddyfile"}
	caddycmd.Main()
}
