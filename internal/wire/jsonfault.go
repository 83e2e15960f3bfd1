package wire

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxJSONDepth is the depth that encoding/json accepts.
const maxJSONDepth = 10000

// JSONFault returns why s, which must be UTF-8, is not JSON, in words for its
// sender: the position, what is there, and what was expected. It returns nil if s
// is JSON.
func JSONFault(s []byte) error {
	p := jsonParser{s: s}
	p.space()
	expected := p.value(0)
	if expected == "" {
		if p.space(); p.i == len(s) {
			return nil
		}
		expected = "nothing more; several messages are sent one a line, as application/x-ndjson"
	}
	if p.i >= len(s) {
		return fmt.Errorf("it ends too early, expected %s", expected)
	}
	return fmt.Errorf("%s: found %s, expected %s", position(s, p.i), found(s[p.i:]), expected)
}

// position describes byte i, counted from 1, with its line if there are several.
func position(s []byte, i int) string {
	lines := bytes.Count(s[:i], []byte("\n"))
	if lines == 0 {
		return fmt.Sprintf("byte %d", i+1)
	}
	return fmt.Sprintf("line %d, byte %d", lines+1, i-bytes.LastIndexByte(s[:i], '\n'))
}

// found describes the first character of s.
func found(s []byte) string {
	r, _ := utf8.DecodeRune(s)
	if r == ' ' || !unicode.IsPrint(r) {
		return fmt.Sprintf("%U", r)
	}
	return fmt.Sprintf("%c (%U)", r, r)
}

// jsonParser parses JSON. Its methods return what they expected to find at i, or ""
// after moving i past what they have parsed.
type jsonParser struct {
	s []byte
	i int
}

func (p *jsonParser) at(set string) bool {
	return p.i < len(p.s) && strings.IndexByte(set, p.s[p.i]) >= 0
}

func (p *jsonParser) skip(set string) (any bool) {
	for ; p.at(set); p.i++ {
		any = true
	}
	return any
}

func (p *jsonParser) space() { p.skip(" \t\r\n") }

func (p *jsonParser) value(depth int) (expected string) {
	switch {
	case p.at("{["):
		return p.list(depth + 1)
	case p.at(`"`):
		return p.string()
	case p.at("-0123456789"):
		return p.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(p.s[p.i:], []byte(word)) {
			p.i += len(word)
			return ""
		}
	}
	if depth == 0 {
		return `an object like {"text":"…"}`
	}
	return "a value; strings are in double quotes"
}

// list reads an object or an array.
func (p *jsonParser) list(depth int) (expected string) {
	if depth > maxJSONDepth {
		return fmt.Sprintf("no more than %d levels", maxJSONDepth)
	}
	end, item := "}", p.member
	if p.at("[") {
		end, item = "]", p.value
	}
	p.i++
	p.space()
	if p.at(end) {
		p.i++
		return ""
	}
	for {
		if expected := item(depth); expected != "" {
			return expected
		}
		p.space()
		if p.at(end) {
			p.i++
			return ""
		}
		if !p.at(",") {
			return "a comma or " + end
		}
		p.i++
		p.space()
	}
}

func (p *jsonParser) member(depth int) (expected string) {
	if !p.at(`"`) {
		return "a key in double quotes"
	}
	if expected := p.string(); expected != "" {
		return expected
	}
	if p.space(); !p.at(":") {
		return "a colon after the key"
	}
	p.i++
	p.space()
	return p.value(depth)
}

func (p *jsonParser) string() (expected string) {
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return ""
		case c < ' ':
			return fmt.Sprintf(`\u%04x in its place`, c)
		case c == '\\':
			if expected := p.escape(); expected != "" {
				return expected
			}
		}
	}
	return "the double quote that ends a string"
}

// escape parses an escape except for its last byte.
func (p *jsonParser) escape() (expected string) {
	p.i++
	if !p.at(`"\/bfnrtu`) {
		return `one of "\/bfnrtu after \`
	}
	if p.at("u") {
		for range 4 {
			if p.i++; !p.at("0123456789abcdefABCDEF") {
				return `four hexadecimal digits after \u`
			}
		}
	}
	return ""
}

func (p *jsonParser) number() (expected string) {
	const digits, digit = "0123456789", "a digit"
	if p.at("-") {
		p.i++
	}
	if p.at("0") {
		p.i++
	} else if !p.skip(digits) {
		return digit
	}
	if p.at(".") {
		if p.i++; !p.skip(digits) {
			return digit
		}
	}
	if p.at("eE") {
		if p.i++; p.at("+-") {
			p.i++
		}
		if !p.skip(digits) {
			return digit
		}
	}
	return ""
}
