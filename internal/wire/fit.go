package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Misfit is why a configured name was changed; "" if it was not.
type Misfit string

// The misfits, phrased for the log after "a name is".
const (
	NotUTF8      Misfit = "not UTF-8, so it was read as Latin-1"
	TooLong      Misfit = "longer than 64 bytes, so it was cut and marked"
	NotPrintable Misfit = "more than printable text, so it was changed and marked"
	LooksMarked  Misfit = "like one that was changed and marked, so it was marked too"
)

// A mark is a tilde and 66 bits of the name's hash, so that nobody can find another
// name with the same mark.
const (
	markSign  = "~"
	markHash  = 11
	markBytes = len(markSign) + markHash
)

// FitName turns a name from a login or a proxy, whose owner can choose no other,
// into one that passes [CheckName]. It is empty only if s is.
//
// Spaces and tabs around s are removed. What is not UTF-8 is read as Latin-1, as is
// usual in HTTP headers. A name that does not pass then loses what is not allowed,
// is cut, and ends in a mark, so that two logins never become one name. A name that
// only looks as if it had a mark gets one too.
func FitName(s string) (name string, misfit Misfit) {
	s = strings.Trim(s, " \t")
	if !utf8.ValidString(s) {
		misfit = NotUTF8
		s = fromLatin1(s)
	}
	switch {
	case len(s) > MaxNameBytes:
		misfit = TooLong
	case CheckName(s) != nil:
		misfit = NotPrintable
	case hasMark(s):
		misfit = LooksMarked
	default:
		return s, misfit
	}
	return shorten(allowedOf(s), MaxNameBytes-markBytes) + markOf(s), misfit
}

func fromLatin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// allowedOf returns s without what no name may have.
func allowedOf(s string) string {
	s = strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " ")
	var kept strings.Builder
	var scan nameScan
	for rest := s; rest != ""; {
		size, err := scan.next(rest)
		if err == nil {
			kept.WriteString(rest[:size])
		}
		rest = rest[size:]
	}
	// removed characters may have stood between spaces
	return norm.NFC.String(strings.Join(strings.Fields(kept.String()), " "))
}

// shorten returns at most so many bytes of a name. It does not split what is seen
// as one character, unless that alone is longer.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := 0
	var last rune
	for i, r := range s {
		if i > most {
			break
		}
		if last != joiner && !belongsBefore(r) {
			end = i
		}
		last = r
	}
	if end > 0 {
		return strings.TrimRight(s[:end], " ")
	}
	for end = most; !utf8.RuneStart(s[end]); end-- {
	}
	return allowedOf(s[:end])
}

// belongsBefore reports whether r modifies the character before it.
func belongsBefore(r rune) bool {
	return isMark(r) || isSkinTone(r) || r == joiner || isTag(r)
}

func markOf(s string) string {
	sum := sha256.Sum256([]byte("name " + s))
	return markSign + base64.RawURLEncoding.EncodeToString(sum[:])[:markHash]
}

// hasMark reports whether s ends in what looks like a mark.
func hasMark(s string) bool {
	i := len(s) - markBytes
	return i >= 0 && strings.HasPrefix(s[i:], markSign) && !strings.ContainsFunc(s[i+len(markSign):], notBase64URL)
}
