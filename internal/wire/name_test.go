package wire

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestNamesThatAreTaken(t *testing.T) {
	for _, name := range []string{
		"", "kim", "김지은", "김 지은", "José", "O'Brien", "d’Artagnan", "محمد", "עברית", "नमस्ते", "山田太郎", "ขวัญ", "ꦗꦮ",
		"😀", "👩‍💻", "👩🏽‍💻", "❤️‍🔥", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🏴‍☠️", "🇰🇷", "1️⃣", "#️⃣", "☺️", "☎︎", "⚡️", "👍🏿", "🧑🏻‍❤️‍🧑🏿", "⛹🏻‍♀️", "kim 👩‍💻 lee",
		"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
		"🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f kim",
		"🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
		"🫩", "\U0001fac8", // of Unicode 16 and 17
		strings.Repeat("n", 64), "<b>&\"", "~", "#1",
	} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	const tags = "\U000e0061\U000e0062\U000e0063\U000e007f"
	for _, test := range []struct{ name, want string }{
		{strings.Repeat("가", 22), "longer than 64 bytes"},
		{"\xff", "not UTF-8"},
		{"kim\n", "U+000A is not printable"},
		{"kim\u007f", "U+007F is not printable"},
		{"kim\u0085", "U+0085 is not printable"},
		{"kim\u200b", "U+200B is not printable"},
		{"kim\u00ad", "U+00AD is not printable"},
		{"\u202ekim", "U+202E is not printable"},
		{"kim\u2028", "U+2028 is not printable"},
		{"kim\u034f", "U+034F is not printable"},
		{"kim\u115f", "U+115F is not printable"},
		{"kim\u3164", "U+3164 is not printable"},
		{"kim\uffa0", "U+FFA0 is not printable"},
		{"kim\u2800", "U+2800 is not printable"},
		{"kim\u180b", "U+180B is not printable"},
		{"kim\u17b4", "U+17B4 is not printable"},
		{"kim\ufffd", "U+FFFD is not printable"},
		{"가\U000e0100", "U+E0100 is not printable"},
		{"kim\u200d", "U+200D may only join emoji"},
		{"ki\u200dm", "U+200D may only join emoji"},
		{"👩\u200d", "U+200D may only join emoji"},
		{"👩\u200da", "U+200D may only join emoji"},
		{"a\u200d👩", "U+200D may only join emoji"},
		{"👩\u200d\u200d💻", "U+200D may only join emoji"},
		{"علی\u200cرضا", "U+200C is not printable"},
		{"kim\ufe0f", "U+FE0F may only follow an emoji"},
		{"kim\ufe0e", "U+FE0E may only follow an emoji"},
		{"☺\ufe0f\ufe0f", "U+FE0F may only follow an emoji"},
		{"1\ufe0f", "U+FE0F may only follow an emoji"},
		{"1\ufe0e\u20e3", "U+FE0E may only follow an emoji"},
		{"a\ufe0f\u20e3", "U+FE0F may only follow an emoji"},
		{"👍🏿\ufe0f", "U+FE0F may only follow an emoji"},
		{"kim" + tags, "the tag U+E0061 may only be in the flag"},
		{"🏴" + tags, "the tag U+E0061 may only be in the flag"},
		{"kim\U000e0001", "U+E0001 is not printable"},
		{"kim\U000e0fff", "U+E0FFF is not assigned"},
		{"kim\u0378", "U+0378 is not assigned"},
		{"kim\U0001ffff", "U+1FFFF is not assigned"},
		{"kim\ue000", "U+E000 is for private use"},
		{"kim\u00a0lee", "white space may only be U+0020, not U+00A0"},
		{"山田\u3000太郎", "white space may only be U+0020, not U+3000"},
		{" kim", "white space at the start or end"},
		{"kim ", "white space at the start or end"},
		{" ", "no visible character"},
		{"kim  lee", "several spaces in a row"},
		{"Jose\u0301", "not in Unicode normalization form C"},
		{"\u212b", "not in Unicode normalization form C"},
		{"\u0301", "no visible character"},
		{"\u0301 \u0302", "no visible character"},
	} {
		if err := CheckName(test.name); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("name %q: %v, want %q", test.name, err, test.want)
		}
	}
}

// `kim` with any one code point that shows nothing is refused, wherever it is.
func TestNoCodePointHidesInANameOrRoom(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) || !showsNothing(r) {
			continue
		}
		names := []string{"kim" + string(r), string(r) + "kim", "ki" + string(r) + "m", "김" + string(r)}
		if !unicode.Is(assigned, r) || unicode.Is(unicode.Co, r) {
			names = names[:1] // there are nearly a million
		}
		for _, name := range names {
			if CheckName(name) == nil {
				t.Errorf("%U is taken in the name %q", r, name)
			}
			if CheckRoom(name) == nil {
				t.Errorf("%U is taken in the room %q", r, name)
			}
		}
	}
}

// showsNothing is written apart from the rule, by what Unicode says, and by
// what the names of code points say that it says nothing of.
func showsNothing(r rune) bool {
	switch {
	case r == ' ':
		return false // between words it shows
	case r >= 0xe0000 && r <= 0xe0fff, r >= 0xfff0 && r <= 0xfffd: // all ignorable, assigned or not
		return true
	case strings.ContainsRune("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u3164\uffa0\u2800\u2065\U0001d159\U00013441\U00013442\U00016fe4", r):
		return true
	case r >= 0xfe00 && r <= 0xfe0f:
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z, unicode.Co) || !unicode.Is(assigned, r)
}

// Names that pass have nothing invisible but what is part of an emoji.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"kim", "👩‍💻", "1️⃣", "a\u200db", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "e\u0301", "a  b", "\u2800"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckName(s) != nil {
			return
		}
		emoji := false
		for _, r := range s {
			emoji = emoji || isEmoji(r) || r == '\u20e3'
			if showsNothing(r) && !emoji && r != emojiStyle {
				t.Fatalf("%q was taken, with %U", s, r)
			}
		}
		if !emoji && strings.ContainsRune(s, emojiStyle) && !strings.Contains(s, "\ufe0f\u20e3") {
			t.Fatalf("%q was taken", s)
		}
	})
}

func TestRooms(t *testing.T) {
	for room, want := range map[string]string{
		"tea": "", "대화방": "", "नमस्ते": "", "a.b_c-1": "", "\U00011db0": "", // a letter of Unicode 17
		"":                      "needs a name",
		"a b":                   "only letters",
		"a\u200d":               "only letters",
		"a\u034f":               "U+034F is invisible",
		"\u3164":                "U+3164 is invisible",
		"tea\ufe0f":             "U+FE0F is invisible",
		"tea\U000e0100":         "U+E0100 is invisible",
		"tea\U00016fe4":         "U+16FE4 is invisible",
		"e\u0301":               "normalization form C",
		strings.Repeat("a", 65): "longer than 64 code points",
		"\xff":                  "not UTF-8",
		strings.Repeat("가", 64): "",
	} {
		switch err := CheckRoom(room); {
		case want == "" && err != nil:
			t.Error(err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("room %q: %v, want %q", room, err, want)
		}
	}
}

func FuzzCheckRoom(f *testing.F) {
	for _, s := range []string{"lobby", "대화방", "a b", "a/b", "\xff", "e\u0301", "..", "\u0000", "a\nid: 1", "a\u034f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckRoom(s) != nil {
			return
		}
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > 64 || strings.ContainsAny(s, "\r\n\x00/ ?#&\"\\<>*") || strings.ContainsFunc(s, showsNothing) {
			t.Fatalf("%q was taken for a room", s)
		}
	})
}

func BenchmarkCheckName(b *testing.B) {
	for _, name := range []string{"kim", "김지은", "kim 👩‍💻"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := CheckName(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
