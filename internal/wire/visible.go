// Package wire encodes and decodes what goes over the wire: messages, forms and
// events, and the rules for names, rooms and nonces. It knows no HTTP. All its
// functions are pure and safe for concurrent use. The page has the rules for names
// too, in public/name.js; a test compares both for all of Unicode.
package wire

import "unicode"

// invisible is what Unicode calls ignorable although it is a letter or a mark, like
// Hangul fillers and variation selectors, and what shows nothing of its own
// although Unicode does not call it ignorable. Names and rooms must not have it,
// because `kim` with and without it look the same.
var invisible = []*unicode.RangeTable{
	unicode.Other_Default_Ignorable_Code_Point,
	unicode.Variation_Selector,
	{
		R16: []unicode.Range16{
			{0x2800, 0x2800, 1}, // braille pattern blank
			{0x2d7f, 0x2d7f, 1}, // Tifinagh consonant joiner
			{0xfffc, 0xfffd, 1}, // stand for what is not there
		},
		R32: []unicode.Range32{
			{0x1107f, 0x1107f, 1}, // Brahmi number joiner
			{0x13441, 0x13442, 1}, // Egyptian hieroglyph blanks
			{0x16fe4, 0x16fe4, 1}, // Khitan small script filler
			{0x1bc9d, 0x1bc9d, 1}, // Duployan letter selector
			{0x1d159, 0x1d159, 1}, // musical null notehead
		},
	},
}

func isInvisible(r rune) bool { return unicode.In(r, invisible...) }

// isMark reports whether r combines with the character before it.
func isMark(r rune) bool { return unicode.In(r, unicode.M, newMarks) }

// isEmoji reports whether r is an emoji by itself. Digits, the letters of flags and
// skin tones are not.
func isEmoji(r rune) bool { return unicode.Is(emoji, r) }

func isSkinTone(r rune) bool { return r >= 0x1f3fb && r <= 0x1f3ff }
