package main

import (
	"os"
	"strings"
	"testing"
)

func TestOurOwnLicenceIsRecognised(t *testing.T) {
	text, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	f := recognise("LICENSE", text)
	if len(f.licenses) != 1 || f.licenses[0] != "Apache-2.0" || f.percent < 99 {
		t.Errorf("got %+v, want all of it to be Apache-2.0", f)
	}
}

const isc = `Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted,
provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED
WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR
CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT,
NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`

const agpl = `This program is free software: you can redistribute it and/or modify it under the terms of the GNU Affero General Public
License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.

This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the implied warranty of
MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU Affero General Public License for more details.
`

func TestWhatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		texts []string
		want  string // in the errors; empty if it is accepted
	}{
		"a licence that is accepted": {[]string{"Copyright 2026 Kim\n\n" + isc}, ""},
		"no licence":                 {nil, "no licence"},
		"one that is not accepted":   {[]string{agpl}, "AGPL"},
		"two, of which one is not":   {[]string{isc, agpl}, "AGPL"},
		"what nobody knows":          {[]string{"You may use this on Sundays."}, "0 %"},
		"one with conditions added":  {[]string{isc + strings.Repeat("Nor may it be used by anybody who is called Kim. ", 20)}, "% of LICENSE"},
	} {
		t.Run(name, func(t *testing.T) {
			m := module{path: "example.com/module", version: "v1.0.0"}
			for _, text := range c.texts {
				m.files = append(m.files, recognise("LICENSE", []byte(text)))
			}
			got := ""
			for _, err := range m.refused() {
				got += err.Error() + "\n"
			}
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatIsLinkedIsListed(t *testing.T) {
	modules, err := linked("../..")
	if err != nil {
		t.Fatal(err)
	}
	list := string(table(modules))
	for _, want := range []string{"| github.com/caddyserver/caddy/v2 | v2.11.9 | Apache-2.0 | `LICENSE` |\n", "| go.etcd.io/bbolt | ", "| github.com/nats-io/nats.go | "} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
}
