package wire

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxRoomRunes is the longest room name in code points.
const MaxRoomRunes = 64

// CheckRoom returns an error if s cannot be a room name. Names are never
// normalized, because matchers in front of the handler rely on them.
func CheckRoom(s string) error {
	switch {
	case s == "":
		return errors.New("a room needs a name")
	case !utf8.ValidString(s):
		return fmt.Errorf("room %q: not UTF-8", s)
	case utf8.RuneCountInString(s) > MaxRoomRunes:
		return fmt.Errorf("room %.20q…: longer than %d code points", s, MaxRoomRunes)
	}
	for _, r := range s {
		if err := CheckRoomRune(r); err != nil {
			return fmt.Errorf("room %q: %w", s, err)
		}
	}
	if !norm.NFC.IsNormalString(s) {
		return fmt.Errorf("room %q: not in Unicode normalization form C", s)
	}
	return nil
}

// CheckRoomRune returns an error if a room name cannot have a character.
func CheckRoomRune(r rune) error {
	switch {
	case r == '_' || r == '-' || r == '.':
	case !isMark(r) && !unicode.In(r, unicode.L, unicode.Nd, newLetters):
		return fmt.Errorf("only letters, marks and digits of any script, _, - and . are allowed, not %q (%U)", r, r)
	case isInvisible(r):
		return fmt.Errorf("%U is invisible", r)
	}
	return nil
}
