// Command licenses lists the licences of all modules in a Caddy built with this
// one, and rejects those that are not on the list of accepted licences.
//
//	go run ./licenses -out ../docs/licenses.md
//	go run ./licenses -out ../docs/licenses.md -check
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	root := flag.String("root", "..", "folder of the module")
	out := flag.String("out", "", "file to write")
	check := flag.Bool("check", false, "only compare the file")
	flag.Parse()
	if err := run(*root, *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root, out string, check bool) error {
	modules, err := linked(root)
	if err != nil {
		return err
	}
	var refused []error
	for _, m := range modules {
		refused = append(refused, m.refused()...)
	}
	if err := errors.Join(refused...); err != nil {
		return err
	}
	list := table(modules)
	if !check {
		return os.WriteFile(out, list, 0o644) //nolint:gosec // readable by all
	}
	have, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, list) {
		return fmt.Errorf("%s is out of date; update it with make licenses", out)
	}
	return nil
}

const head = `# Licences

The licences of all modules in the ` + "`caddy`" + ` that ` + "`make build`" + ` builds for Linux, except this one ([Apache 2.0](../LICENSE)). Go and
its standard library are BSD-3-Clause. ` + "`make licenses`" + ` writes this file; ` + "`make lint`" + ` fails if it is out of date, or if a licence
is not one of %s.

| module | version | licence | file |
|---|---|---|---|
`

func table(modules []*module) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, head, strings.Join(accepted[:len(accepted)-1], ", ")+" and "+accepted[len(accepted)-1])
	for _, m := range modules {
		for _, f := range m.files {
			fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", m.path, m.version, strings.Join(f.licenses, ", "), f.name)
		}
	}
	return b.Bytes()
}

// accepted lists licences that require only notices or, like MPL-2.0, the source
// of the files under them. OFL-1.1 is for fonts.
var accepted = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "OFL-1.1", "Unlicense", "Zlib"}

// refused returns why a module is not accepted.
func (m *module) refused() (errs []error) {
	if len(m.files) == 0 {
		return []error{fmt.Errorf("%s %s has no licence", m.path, m.version)}
	}
	for _, f := range m.files {
		// the rest should be only names and years; more may add conditions
		if len(f.licenses) == 0 || f.percent < 75 {
			errs = append(errs, fmt.Errorf("%s %s: only %.0f %% of %s is a known licence: %q", m.path, m.version, f.percent, f.name, f.licenses))
		}
		for _, license := range f.licenses {
			if !slices.Contains(accepted, license) {
				errs = append(errs, fmt.Errorf("%s %s: %s is under %s, which is not accepted", m.path, m.version, f.name, license))
			}
		}
	}
	return errs
}
