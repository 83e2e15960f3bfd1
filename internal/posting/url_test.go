package posting

import (
	"strings"
	"testing"
)

// An error names what is wrong with a URL, and nothing that may be secret.
func TestErrorsOfURLs(t *testing.T) {
	for url, want := range map[string]string{
		"localhost:80":                 `"localhost:80" must begin with http:// or https:// and a host`,
		"ftp://h/geheim":               `"ftp://h/…" must begin with`,
		"htp://kim:geheim@h/":          `"htp://…" must begin with`,
		"kim:geheim@h":                 `"…" must begin with`,
		"http:///geheim":               `"http:///…" has no host`,
		"http://h/geheim#x":            `"http://h/…" has a fragment`,
		"http://kim:geheim@h/#x":       `"http://…" has a fragment`,
		"http://kim:ge/geheim@h/":      "cannot be parsed",
		"http://kim:geheim%zz@h/":      "cannot be parsed",
		"http://h:geheim@h\x7f":        "cannot be parsed",
		"http://h:port?token=geheim":   `"http://h:port?…" cannot be parsed: invalid port`,
		"http://h/geheim?token=\x7f":   "cannot be parsed",
		"https://kim:x@h/hook?token=x": "",
		"http://{env.HOST}/":           "",
	} {
		err := CheckURL(url)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", url, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim")):
			t.Errorf("%q: %v, want %q and no secret", url, err, want)
		}
	}
}
