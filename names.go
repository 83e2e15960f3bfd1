package ssechat

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxRoomRunes  = 64
	maxNameBytes  = 64
	maxNonceBytes = 64
)

// checkRoom returns why s cannot name a room. Names are never changed into
// allowed ones, because matchers in front of the handler rely on them.
func checkRoom(s string) error {
	switch {
	case s == "":
		return errors.New("a room needs a name")
	case !utf8.ValidString(s):
		return fmt.Errorf("room %q: not UTF-8", s)
	case utf8.RuneCountInString(s) > maxRoomRunes:
		return fmt.Errorf("room %.20q…: longer than %d code points", s, maxRoomRunes)
	}
	for _, r := range s {
		if !roomRune(r) {
			return fmt.Errorf("room %q: only letters, marks and digits of any script, _, - and . are allowed, not %q", s, r)
		}
	}
	if !norm.NFC.IsNormalString(s) {
		return fmt.Errorf("room %q: not in Unicode normalization form C", s)
	}
	return nil
}

// roomRune reports whether a room's name may have a character.
func roomRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd) || r == '_' || r == '-' || r == '.'
}

// checkName returns why s cannot be an author's name.
func checkName(s string) error {
	switch {
	case len(s) > maxNameBytes:
		return fmt.Errorf("name %.40q…: longer than %d bytes", s, maxNameBytes)
	case !utf8.ValidString(s):
		return fmt.Errorf("name %q: not UTF-8", s)
	}
	visible := s == ""
	for _, r := range s {
		if !printable(r) {
			return fmt.Errorf("name %q: %q is not printable", s, r)
		}
		visible = visible || !unicode.In(r, unicode.Z, unicode.M, unicode.Cf)
	}
	if !visible {
		return fmt.Errorf("name %q: nothing to see", s)
	}
	return nil
}

// printable excludes control characters, line ends and what changes the
// direction of the text around it, but not what joins letters and emoji.
func printable(r rune) bool {
	const (
		nonJoiner  = '\u200c'
		joiner     = '\u200d'
		firstTag   = '\U000e0020' // tags spell the flags of regions
		lastTag    = '\U000e007f'
		isReplaced = utf8.RuneError
	)
	if r == nonJoiner || r == joiner || firstTag <= r && r <= lastTag {
		return true
	}
	return r != isReplaced && !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// checkNonce returns why s cannot be a nonce.
func checkNonce(s string) error {
	if s == "" || len(s) > maxNonceBytes || strings.ContainsFunc(s, notOfNonce) {
		return fmt.Errorf("nonce %.80q: must be 1 to %d of A-Z, a-z, 0-9, _ and -", s, maxNonceBytes)
	}
	return nil
}

func notOfNonce(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
}

// checkText returns which character s may not have. Line ends and tabs are
// fine; other control characters are not.
func checkText(s string) error {
	for _, r := range s {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			return fmt.Errorf("text: the control character %U is not allowed", r)
		}
	}
	return nil
}
