package servers

import (
	_ "embed"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

//go:embed first.mjs
var firstServer []byte

func missingNode() string {
	if _, err := exec.LookPath("node"); err != nil {
		return "needs Node.js"
	}
	return ""
}

// serveNode becomes the first server.
func serveNode(s Site) {
	file := filepath.Join(s.Dir, "first.mjs")
	if err := os.WriteFile(file, firstServer, 0o600); err != nil {
		log.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(syscall.Exec(node, []string{"node", file, s.Addr}, os.Environ()))
}
