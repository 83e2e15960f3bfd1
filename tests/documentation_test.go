package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// What the documentation shows works.
func TestDocumentedCaddyfiles(t *testing.T) {
	for _, file := range []string{"../README.md", "../xcaddy.md", "../docs/configuration.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindAllStringSubmatch(string(content), -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows no Caddyfile", file)
		}
		for _, block := range blocks {
			// xcaddy adds the embedded page only to a build that has one
			if _, err := caddytest.Adapt(block[1]); err != nil && !strings.Contains(err.Error(), "caddy.fs.embedded") {
				t.Errorf("%s: %v in\n%s", file, err, block[1])
			}
			if formatted := string(caddyfile.Format([]byte(block[1]))); formatted != block[1] {
				t.Errorf("%s: not as caddy fmt writes it:\n%s", file, formatted)
			}
		}
	}
}

var (
	link       = regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)\s]*))?\)`)
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	codeFences = regexp.MustCompile("(?s)```.*?```")
)

// Links between the documents lead to files and headings that exist.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	files, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"../docs/*.md", "../docs/*/*.md", "../examples/*/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	links := 0
	for _, file := range files {
		for _, found := range link.FindAllStringSubmatch(prose(t, file), -1) {
			links++
			target, anchor := file, found[2]
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(file), found[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which does not exist", file, found[1])
			} else if anchor != "" && filepath.Ext(target) == ".md" && !hasHeading(prose(t, target), anchor) {
				t.Errorf("%s links to %s#%s, but there is no such heading", file, found[1], anchor)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links in %q", links, files)
	}
}

// prose returns a document without its code.
func prose(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return codeFences.ReplaceAllString(string(content), "")
}

// hasHeading reports whether a heading has an anchor, as GitHub makes it.
func hasHeading(document, anchor string) bool {
	for _, found := range heading.FindAllStringSubmatch(document, -1) {
		text := notAnchor.ReplaceAllString(strings.ToLower(found[1]), "")
		if strings.ReplaceAll(text, " ", "-") == anchor {
			return true
		}
	}
	return false
}
