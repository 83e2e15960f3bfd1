package tests

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each file in testdata is a Caddyfile, a line of hyphens, and what the
// directive becomes in JSON.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(content), "----------\n")
			if formatted := string(caddyfile.Format([]byte(input))); formatted != strings.TrimRight(input, "\n")+"\n" {
				t.Errorf("not as caddy fmt writes it:\n%s", formatted)
			}
			config, err := caddytest.Adapt(input)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, config, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			if *update {
				if err := os.WriteFile(file, []byte(input+"----------\n"+got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// Every wrong option is an error that says what is wrong and where.
func TestCaddyfileErrors(t *testing.T) {
	for option, want := range map[string]string{
		"hubb a":         "unrecognized subdirective 'hubb'",
		"hub":            "wrong argument count",
		"hub a b":        "wrong argument count",
		`hub ""`:         "must not be empty",
		`hub "a b"`:      "only letters, marks and digits",
		"hub a {\nx\n}":  "unrecognized subdirective 'x'",
		"hub a\nhub b":   "hub already specified",
		"subscribe":      "wrong argument count",
		"subscribe x":    `"x" is not a plain path like /subscribe`,
		"subscribe /a*":  `"/a*" is not a plain path`,
		"subscribe /{x}": "is not a plain path",
		"update /subscribe\nsubscribe /subscribe": "the path /subscribe is already in use",
		"history /a\nupdate /a":                   "the path /a is already in use",
		"history on":                              `"on" is not a plain path like /history`,
		"rooms":                                   "wrong argument count",
		`rooms ""`:                                `rooms: "": a pattern must not be empty`,
		`rooms lobby "a b"`:                       `rooms: "a b": no room's name has ' '`,
		"rooms a/b":                               `rooms: "a/b": no room's name has '/'`,
		"rooms room?":                             `rooms: "room?": no room's name has '?'`,
		"rooms a}":                                `no room's name has '}'`,
		"rooms a{b":                               "a placeholder is written like {http.auth.user.id}",
		`rooms "a{}"`:                             "a placeholder is written like {http.auth.user.id}",
		`rooms "a{b{c}}"`:                         "a placeholder is written like {http.auth.user.id}",
		"rooms cafe\u0301":                        "not in Unicode normalization form C",
		"rooms " + strings.Repeat("x", 65):        "longer than the 64 characters",
		"rooms a {\nx\n}":                         "unrecognized subdirective 'x'",
		"name":                                    "wrong argument count",
		`name "a` + "\u0007" + `"`:                "not printable",
		"name " + strings.Repeat("x", 65):         "longer than 64 bytes",
		"retry":                                   "wrong argument count",
		"retry 1s 2s 3s":                          "wrong argument count",
		"retry soon":                              "bad duration value 'soon'",
		"retry 0":                                 "must be more than 0",
		"retry -1s":                               "must be more than 0",
		"retry 3s 2s":                             "the longest delay 2s is less than the shortest 3s",
		"heartbeat":                               "wrong argument count",
		"heartbeat 10":                            "bad duration value '10'",
		"heartbeat 0s":                            "must be more than 0",
		"heartbeat 50ms":                          "heartbeat: 50ms is less than 100ms",
		"retain":                                  "wrong argument count",
		"retain many":                             "bad number 'many'",
		"retain -1":                               "must be at least 0",
		"retain 10 1h x":                          "wrong argument count",
		"retain 10 x":                             "bad duration value 'x'",
		"retain 10 500ms":                         "retain: 500ms is less than 1s",
		"max_text":                                "wrong argument count",
		"max_text big":                            "bad size value 'big'",
		"max_text 0":                              "must be more than 0",
		"max_text 31KiB":                          "max_text: 31744 is more than 30720",
		"max_text 99EiB":                          "bad size value",
		"max_subscribers 0":                       "must be at least 1",
		"max_subscribers 1 0":                     "must be at least 1",
		"max_subscribers 1 2 3":                   "wrong argument count",
		"max_size":                                "wrong argument count",
		"max_size big":                            "bad size value 'big'",
		"max_size 1000KiB":                        "max_size: 1024000 is less than 1048576",
		"max_size 1MiB\nstore bolt a":             "max_size: only the store memory has it, not bolt",
		"store bolt a\nmax_size 1MiB":             "max_size: only the store memory has it, not bolt",
		"max_rooms 0":                             "must be at least 1",
		"max_rooms 1.5":                           "bad number '1.5'",
		"rate 1":                                  "wrong argument count",
		"rate 0 1s":                               "must be at least 1",
		"rate 1 0s":                               "must be more than 0",
		"rate 1 1us":                              "the window 1µs is less than 1ms",
		"write_timeout 1ms":                       "write_timeout: 1ms is less than 100ms",
		"max_age 1ms":                             "max_age: 1ms is less than 1s",
		"format":                                  "wrong argument count",
		"format html":                             `format: "html" is neither json nor raw`,
		"before_publish":                          "wrong argument count",
		"before_publish localhost:80":             `before_publish: "localhost:80" must begin with http:// or https:// and a host`,
		"before_publish http:///x":                `before_publish: "http:///…" has no host`,
		"before_publish http://a/#b":              `before_publish: "http://a/…" has a fragment (#), which is never sent`,
		"before_publish http://a 1us":             "before_publish: 1µs is less than 1ms",
		"before_publish http://a 2m":              "before_publish: 2m0s is more than 1m0s",
		"origins":                                 "wrong argument count",
		"origins https://a.example:443":           "browsers leave the default port out: write https://a.example",
		"store":                                   "wrong argument count",
		"store sqlite":                            "getting module named 'http.sse_chat.stores.sqlite'",
		"store memory 5":                          "wrong argument count",
		"store memory {\nx\n}":                    "unrecognized subdirective 'x'",
		"store bolt":                              "wrong argument count",
		"store bolt a b":                          "wrong argument count",
		`store bolt ""`:                           "the file must not be empty",
		"store bolt a {\nx\n}":                    "unrecognized subdirective 'x'",
	} {
		_, err := caddytest.Adapt("localhost {\n\tsse_chat {\n" + option + "\n\t}\n}\n")
		line := 3 + strings.Count(option, "\n")
		if strings.Contains(option, "{\n") { // the block's own line
			line = 4
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", option, err, want)
		} else if at := "Caddyfile:" + string(rune('0'+line)); !strings.Contains(err.Error(), at) {
			t.Errorf("%s: %v, want it at %s", option, err, at)
		}
	}
	for option, want := range map[string]string{ // found where the block ends
		"update /subscribe":  "update: the path /subscribe is already in use, at Caddyfile:4",
		"subscribe /history": "history: the path /history is already in use, at Caddyfile:4",
	} {
		if _, err := caddytest.Adapt("localhost {\n\tsse_chat {\n" + option + "\n\t}\n}\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", option, err, want)
		}
	}
	if _, err := caddytest.Adapt("localhost {\n\tsse_chat {\nsubscribe /update\nupdate /subscribe\n\t}\n}\n"); err != nil {
		t.Errorf("paths the other way round: %v", err)
	}
	if _, err := caddytest.Adapt("localhost {\n\tsse_chat x {\n\t}\n}\n"); err == nil || !strings.Contains(err.Error(), "wrong argument count") {
		t.Errorf("an argument: %v", err)
	}
}

// Each option stands once, and takes no more than it should.
func TestEachOptionStandsOnce(t *testing.T) {
	content, err := os.ReadFile("testdata/all_options.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(content), "sse_chat {\n")
	block, _, _ = strings.Cut(block, "\t}\n")
	options := strings.Split(strings.TrimSpace(block), "\n")
	if len(options) < 16 {
		t.Fatalf("only %q", options)
	}
	for _, option := range options {
		option = strings.TrimSpace(option)
		name, _, _ := strings.Cut(option, " ")
		for text, want := range map[string]string{
			option + "\n" + option: name + " already specified, at Caddyfile:4",
			option + " a b c":      ", at Caddyfile:3",
			name:                   "wrong argument count or unexpected line ending after '" + name + "', at Caddyfile:3",
			option + " {\nx\n}":    "unrecognized subdirective '",
		} {
			if text == "rooms lobby inbox-{http.auth.user.id} a b c" {
				continue // it takes any number
			}
			if _, err := caddytest.Adapt("localhost {\n\tsse_chat {\n" + text + "\n\t}\n}\n"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", text, err, want)
			}
		}
	}
}
