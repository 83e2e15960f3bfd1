package wire

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesThatConfigurationGives(t *testing.T) {
	dn := "CN=Anna Maria Katharina Müller,OU=Forschung und Entwicklung,O=Beispiel GmbH,C=DE"
	for _, test := range []struct {
		given, start string // what the name is, or begins with if it has a mark
		misfit       Misfit
	}{
		{"kim", "kim", ""},
		{"", "", ""},
		{" \t ", "", ""},
		{" kim ", "kim", ""},
		{"김지은 👩‍💻", "김지은 👩‍💻", ""},
		{strings.Repeat("n", 64), strings.Repeat("n", 64), ""},
		{"Ren\xe9 M\xfcller", "René Müller", NotUTF8},
		{dn, "CN=Anna Maria Katharina Müller,OU=Forschung und Ent", TooLong},
		{strings.Replace(dn, "ü", "\xfc", 1), "CN=Anna Maria Katharina Müller,OU=Forschung und Ent", TooLong},
		{strings.Repeat("가", 22), strings.Repeat("가", 17), TooLong},
		{strings.Repeat("x", 51) + "e\u0301" + strings.Repeat("x", 20), strings.Repeat("x", 51), TooLong},
		{strings.Repeat("x", 45) + "👩🏽‍💻" + strings.Repeat("x", 20), strings.Repeat("x", 45), TooLong},
		{strings.Repeat("x", 51) + " " + strings.Repeat("x", 20), strings.Repeat("x", 51), TooLong},
		{strings.Repeat("👩‍", 20) + "💻", "👩‍👩‍👩‍👩‍👩‍👩‍👩", TooLong},
		{"kim\u200b", "kim", NotPrintable},
		{"علی\u200cرضا", "علیرضا", NotPrintable},
		{"Jose\u0301", "José", NotPrintable},
		{"e\u200c\u0301", "é", NotPrintable},
		{"山田\u3000太郎", "山田 太郎", NotPrintable},
		{"kim  \u200b  lee", "kim lee", NotPrintable},
		{"kim\r\nid: 1", "kim id: 1", NotPrintable},
		{"\u200b", "", NotPrintable},
		{"\u0301", "\u0301", NotPrintable},
		{"kim~abcdefghijk", "kim~abcdefghijk", LooksMarked},
		{"kim~abcdefghij", "kim~abcdefghij", ""},
	} {
		name, misfit := FitName(test.given)
		kept := name
		if misfit != "" && misfit != NotUTF8 {
			if !hasMark(name) {
				t.Errorf("%q becomes %q, without a mark", test.given, name)
				continue
			}
			kept = name[:len(name)-markBytes]
		}
		if kept != test.start || misfit != test.misfit {
			t.Errorf("%q becomes %q (%q), want %q (%q)", test.given, name, misfit, test.start, test.misfit)
		}
	}
}

// Names that differ stay different, be it only far behind or by what is left
// out; and nobody can have a login that is another's marked name.
func TestNamesThatConfigurationGivesStayApart(t *testing.T) {
	long := strings.Repeat("x", 100)
	marked, _ := FitName(long)
	names := map[string]string{}
	for _, given := range []string{
		long, long + "1", long + "2", strings.Repeat("x", 64), strings.Repeat("x", 52), marked,
		"kim", "kim\u200b", "kim\u200c", "\u200bkim", "ki\u200bm", "kim\u3164", "kim\u00a0", "Jos\u00e9", "Jose\u0301",
	} {
		name, _ := FitName(given)
		if other, ok := names[name]; ok {
			t.Errorf("%q and %q are both %q", other, given, name)
		}
		names[name] = given
	}
}

// Whatever the configuration gives, it is a name.
func FuzzFitName(f *testing.F) {
	for _, s := range []string{"kim", "\xe9", "\u200b", strings.Repeat("👩\u200d", 30), "e\u200c\u0301", "\u2000\u0344", strings.Repeat("\u0301", 40), "🏴\U000e0067\U000e0062"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, misfit := FitName(s)
		if err := CheckName(name); err != nil {
			t.Fatalf("%q becomes %q: %v", s, name, err)
		}
		if misfit == "" && name != strings.Trim(s, " \t") || name == "" && strings.Trim(s, " \t") != "" {
			t.Fatalf("%q becomes %q (%q)", s, name, misfit)
		}
		if !utf8.ValidString(s) && misfit == "" {
			t.Fatalf("nothing is said of %q", s)
		}
	})
}
