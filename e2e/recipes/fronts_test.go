package recipes

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runNginx runs Debian's nginx with an additional site.
func runNginx(t *testing.T, site string) *process {
	t.Helper()
	dir := t.TempDir()
	// its workers run as another user
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // there are no secrets in it
		t.Fatal(err)
	}
	var added strings.Builder
	added.WriteString("http {\naccess_log off;\n")
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&added, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	added.WriteString(site)
	config := regexp.MustCompile(`(?m)^\s*(pid|error_log|access_log|include /etc/nginx/(modules|conf|sites)).*;$`).
		ReplaceAllString(readFile(t, "/etc/nginx/nginx.conf"), "")
	config = strings.Replace(config, "http {", added.String(), 1)
	return start(t, nil, program(t, "nginx"), "-p", dir, "-e", "stderr", "-g", "daemon off; error_log stderr; pid "+dir+"/pid;",
		"-c", writeFile(t, "nginx.conf", config))
}

// runHAProxy runs HAProxy with Debian's defaults, and one backend.
func runHAProxy(t *testing.T, bind, target string) *process {
	t.Helper()
	_, defaults, _ := strings.Cut(readFile(t, "/etc/haproxy/haproxy.cfg"), "\ndefaults\n")
	return start(t, nil, program(t, "haproxy"), "-db", "-f", writeFile(t, "haproxy.cfg", "defaults\n"+defaults+
		"\nfrontend chat\n\tbind "+bind+"\n\tdefault_backend caddy\n\nbackend caddy\n\tserver caddy 127.0.0.1:"+target+"\n"))
}

// runVarnish runs Varnish with the recipe.
func runVarnish(t *testing.T, listen, target string) *process {
	t.Helper()
	return start(t, nil, program(t, "varnishd"), "-F", "-j", "none", "-T", "none", "-n", t.TempDir(), "-a", "127.0.0.1:"+listen,
		"-f", writeFile(t, "varnish.vcl", recipe(t, "varnish.vcl", `"3000"`, `"`+target+`"`)))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
