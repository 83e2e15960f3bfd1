package wire

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxNameBytes is the longest author's name in bytes.
const MaxNameBytes = 64

const (
	joiner     = '\u200d' // zero width joiner
	textStyle  = '\ufe0e' // selects a black and white emoji
	emojiStyle = '\ufe0f' // selects a coloured emoji
	keycap     = "\u20e3"
	blackFlag  = '\U0001f3f4'
)

// regions are the tags that turn a black flag into that of a region. After any
// other tags it stays black.
var regions = []string{regionTags("gbeng"), regionTags("gbsct"), regionTags("gbwls")}

func regionTags(region string) string {
	const tag, cancel = 0xe0000, "\U000e007f"
	return strings.Map(func(r rune) rune { return tag + r }, region) + cancel
}

// CheckName returns an error if s cannot be an author's name. The empty string is
// no name, which is allowed.
//
// A name must not look like another one that has something invisible in it. So each
// code point must be visible, and the only white space is a single space between
// words. Invisible code points that are part of emoji, as keyboards write them, are
// allowed only there: joiners, variation selectors, and tags of flags.
//
// A name in another normalization form is refused rather than changed, so that a
// name has the same bytes everywhere: where messages are compared with it, where
// presence counts it and where it is kicked. Letters that look like those of other
// scripts are not checked.
func CheckName(s string) error {
	switch {
	case len(s) > MaxNameBytes:
		return fmt.Errorf("name %.40q…: longer than %d bytes", s, MaxNameBytes)
	case !utf8.ValidString(s):
		return fmt.Errorf("name %q: not UTF-8", s)
	}
	var scan nameScan
	shows := s == ""
	for rest := s; rest != ""; {
		size, err := scan.next(rest)
		if err != nil {
			return fmt.Errorf("name %q: %w", s, err)
		}
		shows = shows || scan.shows
		rest = rest[size:]
	}
	switch {
	case !shows:
		return fmt.Errorf("name %q: no visible character", s)
	case !norm.NFC.IsNormalString(s):
		return fmt.Errorf("name %q: not in Unicode normalization form C", s)
	case strings.HasPrefix(s, " ") || strings.HasSuffix(s, " "):
		return fmt.Errorf("name %q: white space at the start or end", s)
	case strings.Contains(s, "  "):
		return fmt.Errorf("name %q: several spaces in a row", s)
	}
	return nil
}

// nameScan checks a name code point by code point. It skips what it refuses.
type nameScan struct {
	last     rune // last code point that was allowed
	joinable bool // an emoji precedes, perhaps with its style and skin tone
	shows    bool // last is visible by itself
}

// next returns the size of the next code point, or of the tags of a flag, and an
// error if it is not allowed there.
func (n *nameScan) next(s string) (size int, err error) {
	r, size := utf8.DecodeRuneInString(s)
	if n.last == blackFlag {
		for _, tags := range regions {
			if strings.HasPrefix(s, tags) {
				*n = nameScan{}
				return len(tags), nil
			}
		}
	}
	if err := n.check(r, s[size:]); err != nil {
		return size, err
	}
	n.joinable = isEmoji(r) || n.joinable && (r == textStyle || r == emojiStyle || isSkinTone(r))
	n.shows = r != ' ' && !isMark(r) && r != joiner
	n.last = r
	return size, nil
}

// check returns an error if r may not stand between the last code point and the
// rest.
func (n *nameScan) check(r rune, rest string) error {
	switch {
	case r >= ' ' && r <= '~':
		return nil
	case !unicode.Is(assigned, r):
		return fmt.Errorf("%U is not assigned in Unicode %s", r, unicodeVersion)
	case r == joiner:
		if after, _ := utf8.DecodeRuneInString(rest); n.joinable && isEmoji(after) {
			return nil
		}
		return fmt.Errorf("%U may only join emoji", r)
	case r == textStyle || r == emojiStyle:
		ofKeycap := r == emojiStyle && isKey(n.last) && strings.HasPrefix(rest, keycap)
		if isEmoji(n.last) || ofKeycap {
			return nil
		}
		return fmt.Errorf("the variation selector %U may only follow an emoji", r)
	case isTag(r):
		return fmt.Errorf("the tag %U may only be in the flag of England, Scotland or Wales", r)
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || isInvisible(r):
		return fmt.Errorf("%U is not printable", r)
	case unicode.IsSpace(r):
		return fmt.Errorf("white space may only be U+0020, not %U", r)
	case unicode.Is(unicode.Co, r):
		return fmt.Errorf("%U is for private use", r)
	}
	return nil
}

func isTag(r rune) bool { return r >= 0xe0020 && r <= 0xe007f }

// isKey reports whether r is a telephone key.
func isKey(r rune) bool { return r >= '0' && r <= '9' || r == '#' || r == '*' }
