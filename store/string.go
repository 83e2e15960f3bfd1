package store

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/sse-chat/caddy-sse-chat/internal/jsonscan"
)

// AppendString appends s as a JSON string on one line. Bytes that are not UTF-8
// become U+FFFD. Unlike json.Marshal it leaves <, > and & as they are. U+2028 and
// U+2029 are escaped, because parsers that use Python's splitlines would end the
// line there. It is written by hand because a json.Encoder allocates.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0 // of the bytes that are copied unchanged
	for i := 0; i < len(s); {
		if verbatim[s[i]] {
			i++
			for i+8 <= len(s) && isVerbatim(s[i:i+8]) {
				i += 8
			}
			continue
		}
		if isThreeBytes(s[i:]) {
			i += 3
			continue
		}
		if s[i] < utf8.RuneSelf {
			dst = appendEscaped(append(dst, s[start:i]...), s[i])
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		escape := ""
		switch {
		case r == utf8.RuneError && size == 1:
			escape = `\ufffd`
		case r == '\u2028':
			escape = `\u2028`
		case r == '\u2029':
			escape = `\u2029`
		}
		if escape != "" {
			dst = append(append(dst, s[start:i]...), escape...)
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// verbatim are the ASCII characters that a JSON string has as they are.
var verbatim = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// isVerbatim reports whether eight bytes are in verbatim. It may report false for some that
// are, but hardly ever does so for a text.
func isVerbatim(s string) bool {
	const each = 0x0101010101010101
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	// a byte that is less than the subtrahend gets its highest bit set
	return (w|(w-each*' ')|((w^each*'"')-each)|((w^each*'\\')-each))&(each*0x80) == 0
}

// isThreeBytes reports whether s begins with a character between U+3000 and U+CFFF, as most
// of Chinese, Japanese and Korean are. These are the simplest to tell in UTF-8.
func isThreeBytes(s string) bool {
	return len(s) >= 3 && s[0] >= 0xe3 && s[0] <= 0xec && s[1]>>6 == 0b10 && s[2]>>6 == 0b10
}

// appendEscaped appends an ASCII character that a JSON string cannot have as it is.
func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}

// cutField returns the first field of a JSON object and the rest, which begins with a comma
// or ends the object. object is one that appendJSON has made, from its first key on, or
// such a rest.
func cutField(object []byte) (key, value, rest []byte) {
	object = object[len(`,"`):]
	end := bytes.IndexByte(object, '"') // our keys need no escapes
	key, object = object[:end], object[end+len(`":`):]
	end = jsonscan.ValueEnd(object)
	return key, object[:end], object[end:]
}

// unquote returns the string that [AppendString] has encoded. It only knows its escapes.
func unquote(s []byte) string { return unescape(string(s[1 : len(s)-1])) }

// unescape returns what [AppendString] has escaped.
func unescape(s string) string {
	next := strings.IndexByte(s, '\\')
	if next < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for next >= 0 {
		b.WriteString(s[:next])
		s = s[next+1:]
		switch c := s[0]; c {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r := rune(0)
			for _, digit := range []byte(s[1:5]) {
				r = r<<4 | rune(digit&0xf)
				if digit >= 'a' {
					r += 9
				}
			}
			b.WriteRune(r)
			s = s[4:]
		default:
			b.WriteByte(c)
		}
		s = s[1:]
		next = strings.IndexByte(s, '\\')
	}
	b.WriteString(s)
	return b.String()
}
