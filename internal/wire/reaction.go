package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxReactionBytes is the longest reaction in bytes that is not a single emoji.
const maxReactionBytes = 32

// CheckReaction returns an error if s cannot be a reaction: one emoji, or up to 32 bytes of
// what may be in a name.
func CheckReaction(s string) error {
	if s == "" {
		return errors.New("a reaction must not be empty")
	}
	if err := CheckName(s); err != nil {
		return fmt.Errorf("a reaction may only have what a name may have: %w", err)
	}
	if len(s) > maxReactionBytes && !isOneEmoji(s) {
		return fmt.Errorf("reaction %.40q…: longer than %d bytes, and not one emoji", s, maxReactionBytes)
	}
	return nil
}

// isOneEmoji reports whether s, which may be in a name, is a single emoji.
func isOneEmoji(s string) bool {
	for begin := true; s != ""; {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case begin:
			if begin = false; !isEmoji(r) {
				return false
			}
		case r == joiner:
			begin = true
		case r != emojiStyle && r != textStyle && !isSkinTone(r) && !isTag(r):
			return false
		}
	}
	return true
}
