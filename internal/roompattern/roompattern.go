// Package roompattern matches room names against patterns.
package roompattern

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// ParseAll parses patterns in order. The error names the first bad one.
func ParseAll(patterns []string) ([]Pattern, error) {
	var parsed []Pattern
	for _, s := range patterns {
		p, err := Parse(s)
		if err != nil {
			return nil, fmt.Errorf("rooms: %q: %w", s, err)
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

// Pattern is a parsed pattern for room names: its parts between stars. It is safe
// for concurrent use.
type Pattern [][]piece

// piece is literal text, or the name of a placeholder.
type piece struct {
	text        string
	placeholder bool
}

// Parse parses a pattern. A character that a room name may have stands for itself,
// * for any number of characters, and {…} for the value of a placeholder. The error
// says what is wrong.
func Parse(s string) (Pattern, error) {
	if s == "" {
		return nil, errors.New("a pattern must not be empty")
	}
	if !norm.NFC.IsNormalString(s) {
		return nil, errors.New("not in Unicode normalization form C, so no room's name matches it")
	}
	pattern, fixed := Pattern{nil}, 0
	for s != "" {
		part := &pattern[len(pattern)-1]
		switch s[0] {
		case '*':
			pattern = append(pattern, nil)
			s = s[1:]
		case '{':
			name, rest, closed := strings.Cut(s[1:], "}")
			if !closed || name == "" || strings.Contains(name, "{") {
				return nil, errors.New("a placeholder is written like {http.auth.user.id}")
			}
			*part = append(*part, piece{text: name, placeholder: true})
			s = rest
		default:
			text := s
			if end := strings.IndexAny(s, "*{"); end > 0 {
				text = s[:end]
			}
			if err := checkPatternText(text); err != nil {
				return nil, err
			}
			*part = append(*part, piece{text: text})
			fixed += utf8.RuneCountInString(text)
			s = s[len(text):]
		}
	}
	if fixed > wire.MaxRoomRunes {
		return nil, fmt.Errorf("longer than the %d characters that a room's name may have", wire.MaxRoomRunes)
	}
	return pattern, nil
}

func checkPatternText(text string) error {
	for _, r := range text {
		if wire.CheckRoomRune(r) != nil {
			return fmt.Errorf("no room's name has %q: a pattern has letters, marks and digits of any script, _, -, ., * and placeholders", r)
		}
	}
	return nil
}

// Allowed returns a function that reports whether any of the patterns matches a
// room name. value returns the value of a placeholder for the request, and whether
// it exists.
func Allowed(patterns []Pattern, value func(placeholder string) (string, bool)) func(room string) bool {
	var resolved [][]string
	for _, pattern := range patterns {
		if parts := pattern.resolve(value); parts != nil {
			resolved = append(resolved, parts)
		}
	}
	return func(room string) bool {
		for _, parts := range resolved {
			if matchParts(parts, room) {
				return true
			}
		}
		return false
	}
}

// resolve returns the parts between a pattern's stars, with placeholders replaced.
// It returns nil, which matches nothing, if a value is missing, empty or has
// characters that no room name has: such a value must not turn the pattern into
// another one.
func (p Pattern) resolve(value func(placeholder string) (string, bool)) []string {
	parts := make([]string, 0, len(p))
	for _, pieces := range p {
		var part strings.Builder
		for _, piece := range pieces {
			text := piece.text
			if piece.placeholder {
				value, known := value(text)
				if !known || value == "" || checkPatternText(value) != nil {
					return nil
				}
				text = value
			}
			part.WriteString(text)
		}
		parts = append(parts, part.String())
	}
	return parts
}

// matchParts reports whether a name begins with the first part, ends with the last
// and has the others in order in between. There is at least one part.
func matchParts(parts []string, name string) bool {
	last := len(parts) - 1
	if last == 0 {
		return name == parts[0]
	}
	rest, begins := strings.CutPrefix(name, parts[0])
	if !begins {
		return false
	}
	for _, part := range parts[1:last] {
		_, behind, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = behind
	}
	return strings.HasSuffix(rest, parts[last])
}
