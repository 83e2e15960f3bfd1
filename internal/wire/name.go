package wire

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxNameBytes is how long an author's name may be.
const MaxNameBytes = 64

const (
	joiner     = '\u200d' // zero width joiner
	textStyle  = '\ufe0e' // asks for an emoji in black and white
	emojiStyle = '\ufe0f' // asks for an emoji in colour
	keycap     = "\u20e3"
	blackFlag  = '\U0001f3f4'
)

// regions are the tags that make a black flag that of a region. Behind any
// other tags it stays black.
var regions = []string{regionTags("gbeng"), regionTags("gbsct"), regionTags("gbwls")}

func regionTags(region string) string {
	const tag, cancel = 0xe0000, "\U000e007f"
	return strings.Map(func(r rune) rune { return tag + r }, region) + cancel
}

// CheckName returns why s cannot be an author's name. The empty string is no
// name, which is fine.
//
// One name must not look like another that has something invisible in it. So
// each code point has to show, and the only white space is one space between
// words. What shows nothing but is part of emoji, as keyboards write them, is
// allowed there alone: joiners, variation selectors, and tags of flags.
//
// A name in another normalization form is refused rather than changed, so that
// a name is everywhere the same bytes: where messages are compared with it,
// where presence counts it and where it is kicked. Letters that look like
// those of other scripts are not looked for.
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

// nameScan goes through a name. What it refuses counts as left out.
type nameScan struct {
	last     rune // that was allowed
	joinable bool // an emoji stands before, perhaps with its style and skin tone
	shows    bool // last does so without anything before it
}

// next returns the size of what s begins with, which is one code point or the
// tags of a flag, and why it is not allowed there.
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

// check returns why r may not stand between what was there and the rest.
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

// isKey reports whether r is on the keys of a telephone.
func isKey(r rune) bool { return r >= '0' && r <= '9' || r == '#' || r == '*' }
