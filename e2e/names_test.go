package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

type runeRange [2]rune

// place is the text before and after a code point, and the code points allowed
// between them.
type place struct {
	Before  string      `json:"before"`
	After   string      `json:"after"`
	Allowed []runeRange `json:"allowed"`
}

func places(around [][2]string, allowed func(string) bool) []place {
	var all []place
	for _, a := range around {
		all = append(all, place{a[0], a[1], rangesOf(func(r rune) bool { return allowed(a[0] + string(r) + a[1]) })})
	}
	return all
}

// rangesOf returns all allowed code points, without surrogates.
func rangesOf(allowed func(rune) bool) []runeRange {
	ranges := []runeRange{}
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) || !allowed(r) {
			continue
		}
		if n := len(ranges); n > 0 && ranges[n-1][1] == r-1 {
			ranges[n-1][1] = r
		} else {
			ranges = append(ranges, runeRange{r, r})
		}
	}
	return ranges
}

// compareNames compares the page's rules with the server's, and fits names that
// somebody types.
func compareNames(t *testing.T, names, rooms []place, assigned []runeRange, typed []string) (result struct {
	Differ         []string
	Count, Skipped int
	Unicode        string
	Fitted         []string
	Taken          []bool
},
) {
	t.Helper()
	input, err := json.Marshal(map[string]any{"names": names, "rooms": rooms, "assigned": assigned, "typed": typed})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "names.mjs")
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return result
}

// The page and the server agree on every code point, wherever it is in a name or a
// room.
func TestThePageAndTheServerAgreeOnNames(t *testing.T) {
	t.Parallel()
	isName := func(s string) bool { return wire.CheckName(s) == nil }
	isRoom := func(s string) bool { return wire.CheckRoom(s) == nil }
	isAssigned := func(r rune) bool {
		err := wire.CheckName(string(r))
		return err == nil || !strings.Contains(err.Error(), "not assigned")
	}
	names := places([][2]string{
		{"", ""},
		{"a", ""},
		{"a", "b"},
		{"1", "\u20e3"},
		{"👍", ""},
		{"👩", "💻"},
	}, isName)
	rooms := places([][2]string{{"", ""}, {"a", "b"}}, isRoom)
	assigned := append(rangesOf(isAssigned), runeRange{0xd800, 0xdfff})
	result := compareNames(t, names, rooms, assigned, []string{})
	if result.Count > 0 {
		t.Errorf("they differ in %d cases:\n%s", result.Count, strings.Join(result.Differ, "\n"))
	}
	if result.Unicode == "17.0" && result.Skipped > 0 {
		t.Errorf("%d code points were not compared, although both sides know Unicode 17.0", result.Skipped)
	}
}

// Whatever somebody types, the page sends a name that the server accepts, and
// keeps as much of the input as possible.
func TestThePageFitsNames(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"kim": "kim", " 김지은 ": "김지은", "👩‍💻 ⚡️ 1️⃣": "👩‍💻 ⚡️ 1️⃣",
		"山田\u3000太郎":      "山田 太郎",
		"kim\u00a0 \tlee": "kim lee",
		"ki\u200bm\u3164": "kim",
		"Jose\u0301":      "José",
		"e\u200c\u0301":   "é",
		"a\ufe0f\u200d👍":  "a👍",
		"\u202ekim\u202c": "kim",
		"\u200b":          "",
		"\u0301":          "",
		"\U000e0fffkim":   "kim",
		"🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
		"🏴\U000e0067\U000e0062\U000e007f":                               "🏴",
		strings.Repeat("가", 30):                                         strings.Repeat("가", 21),
		strings.Repeat("x", 60) + "👩‍💻":                                 strings.Repeat("x", 60),
		strings.Repeat("x", 63) + " x":                                  strings.Repeat("x", 63),
	}
	typed := slices.Sorted(maps.Keys(want))
	random := rand.New(rand.NewPCG(1, 2))
	parts := []rune("ae가👍👩💻❤🏽🏴1#\u200d\u200d\u200d\ufe0f\ufe0e\u20e3\u0301\u0308\u200b\u3000 \U000e0067\U000e0062\U000e007f\u1100\u1161")
	for range 40_000 {
		s := make([]rune, 1+random.IntN(1+random.IntN(40)))
		for i := range s {
			s[i] = parts[random.IntN(len(parts))]
		}
		typed = append(typed, string(s))
	}
	result := compareNames(t, nil, nil, nil, typed)
	for i, name := range result.Fitted {
		if err := wire.CheckName(typed[i]); result.Taken[i] != (err == nil && typed[i] != "") {
			t.Errorf("%q: the page takes it: %v, the server says %v", typed[i], result.Taken[i], err)
		}
		if err := wire.CheckName(name); err != nil {
			t.Errorf("%q becomes %q: %v", typed[i], name, err)
		}
		if w, ok := want[typed[i]]; ok && name != w {
			t.Errorf("%q becomes %q, want %q", typed[i], name, w)
		}
	}
}
