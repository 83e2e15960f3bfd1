// Command licenses lists the licences of all modules that are in a Caddy built
// with this one, and refuses those that not everybody can accept.
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
	root := flag.String("root", "..", "the folder of the module")
	out := flag.String("out", "", "the file that is written")
	check := flag.Bool("check", false, "whether the file is only compared")
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
		return os.WriteFile(out, list, 0o644) //nolint:gosec // all may read it
	}
	have, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, list) {
		return fmt.Errorf("%s is out of date; make licenses writes it anew", out)
	}
	return nil
}

const head = `# Licences

What is in the ` + "`caddy`" + ` that ` + "`make build`" + ` builds for Linux, besides this module ([Apache 2.0](../LICENSE)) and Go with its standard
library (BSD-3-Clause). ` + "`make licenses`" + ` writes this file; ` + "`make lint`" + ` fails if it is out of date, or if a licence is not one of
%s.

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

// accepted are licences that ask for no more than notices or, as MPL-2.0, for
// the source of the files that are under them. OFL-1.1 is for fonts.
var accepted = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "OFL-1.1", "Unlicense", "Zlib"}

// refused tells why a module cannot be accepted.
func (m *module) refused() (errs []error) {
	if len(m.files) == 0 {
		return []error{fmt.Errorf("%s %s has no licence", m.path, m.version)}
	}
	for _, f := range m.files {
		// what is no licence are names and years, or there is more to it
		if len(f.licenses) == 0 || f.percent < 75 {
			errs = append(errs, fmt.Errorf("%s %s: only %.0f %% of %s is a licence that is known: %q", m.path, m.version, f.percent, f.name, f.licenses))
		}
		for _, license := range f.licenses {
			if !slices.Contains(accepted, license) {
				errs = append(errs, fmt.Errorf("%s %s: %s is under %s, which is not accepted", m.path, m.version, f.name, license))
			}
		}
	}
	return errs
}
