package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// module is a linked module.
type module struct {
	path, version string
	files         []file
}

// file is a licence file; a module may have several for its parts.
type file struct {
	name     string // in the module
	licenses []string
	percent  float64 // share of its words that belong to licences
}

// linked returns the modules that are linked into a Caddy with the module in the
// given folder, by path: the packages that xcaddy's main imports, directly and
// indirectly.
func linked(root string) ([]*module, error) {
	const form = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}"
	list := exec.Command("go", "list", "-deps", "-tags", "nobadger,nomysql,nopgx", "-f", form,
		".", "github.com/caddyserver/caddy/v2/cmd", "github.com/caddyserver/caddy/v2/modules/standard")
	list.Dir = root
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0") // same result on every machine
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	modules := make(map[string]*module)
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 {
			continue
		}
		m := modules[fields[0]]
		if m == nil {
			m = &module{path: fields[0], version: fields[1]}
			modules[m.path] = m
		}
		if err := m.lookAbove(fields[2], fields[3]); err != nil {
			return nil, fmt.Errorf("%s: %w", m.path, err)
		}
	}
	all := make([]*module, 0, len(modules))
	for _, m := range modules {
		slices.SortFunc(m.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *module) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

var licenseName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-_.].*)?$`)

// lookAbove reads the licence files of a package's folder and its parents, up to
// the module's.
func (m *module) lookAbove(root, dir string) error {
	for ; strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.IsDir() || !licenseName.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") {
				continue
			}
			name, err := filepath.Rel(root, filepath.Join(dir, entry.Name()))
			if err != nil {
				return err
			}
			if slices.ContainsFunc(m.files, func(f file) bool { return f.name == name }) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				return err
			}
			m.files = append(m.files, recognise(name, text))
		}
	}
	return nil
}

// recognise finds the licences in a text.
func recognise(name string, text []byte) file {
	cover := licensecheck.Scan(text)
	f := file{name: filepath.ToSlash(name), percent: cover.Percent}
	for _, match := range cover.Match {
		if !match.IsURL {
			f.licenses = append(f.licenses, match.ID)
		}
	}
	slices.Sort(f.licenses)
	f.licenses = slices.Compact(f.licenses)
	return f
}
