package roompattern

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

func TestRoomPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, value  string // of {user}
		allows, refuses string // rooms with spaces between them
	}{
		{"lobby", "", "lobby", "lobb lobbyx xlobby Lobby"},
		{"*", "", "lobby staff 채팅 a.b-c_1", ""},
		{"team-*", "", "team- team-a team-a-b", "team xteam-a Team-a"},
		{"*-open", "", "-open a-open a-open-open", "open a-opens a-Open"},
		{"a*b*c", "", "abc aXbYc abbcc abcbc", "ac ab acb xabc abcx"},
		{"a*a", "", "aa aba aaa", "a"},
		{"ab*ba", "", "abba abxba", "aba"},
		{"**", "", "a lobby", ""},
		{"*채*", "", "채 공개채팅", "팅"},
		{"{user}", "kim", "kim", "lee {user} ki kimm"},
		{"inbox-{user}", "kim", "inbox-kim", "inbox- inbox-lee inbox-kim2 kim"},
		{"inbox-{user}", "김철수", "inbox-김철수", "inbox-김철"},
		{"{user}.*", "kim", "kim. kim.a", "kim lee.a kimx.a"},
		{"*.{user}.{user}", "kim", "a.kim.kim", "a.kim.lee kim"},
		// a value stands for itself
		{"inbox-{user}", "*", "", "inbox-* inbox-kim inbox-"},
		{"inbox-{user}", "{user}", "", "inbox-{user} inbox-kim"},
		{"inbox-{user}", "kim*", "", "inbox-kim inbox-kim2"},
		// one that cannot be in a name matches nothing, nor what is without it
		{"inbox-{user}", "", "", "inbox- inbox-kim inbox"},
		{"*{user}", "", "", "lobby inbox-kim"},
		{"inbox-{user}", "kim@example.com", "", "inbox-kim inbox-kim@example.com"},
		{"inbox-{user}", "a/b", "", "inbox-a inbox-a/b"},
		{"inbox-{user}", "kim lee", "", "inbox-kim"},
		{"inbox-{user}", "kim\n", "", "inbox-kim"},
		{"inbox-{user}", "kim\x00", "", "inbox-kim"},
		{"inbox-{user}", "\xff", "", "inbox-\xff inbox-\ufffd"},
		{"inbox-{user}", "cafe\u0301", "", "inbox-caf\u00e9"},
		{"inbox-{other}", "kim", "", "inbox- inbox-kim"},
		{"inbox-{user}-{other}", "kim", "", "inbox-kim- inbox-kim"},
	} {
		pattern, err := Parse(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		allowed := Allowed([]Pattern{pattern}, func(placeholder string) (string, bool) {
			return test.value, placeholder == "user"
		})
		for rooms, want := range map[string]bool{test.allows: true, test.refuses: false} {
			for room := range strings.FieldsSeq(rooms) {
				if allowed(room) != want {
					t.Errorf("%s of %q for %q: %v, want %v", test.pattern, test.value, room, !want, want)
				}
			}
		}
	}
}

// FuzzRoomPattern compares patterns with regular expressions.
func FuzzRoomPattern(f *testing.F) {
	f.Add("inbox-{user}*", "kim", "inbox-kim-2")
	f.Add("a*b*c", "", "abbcabc")
	f.Add("{user}{user}**", "*", "**")
	f.Add("*채{x*}", "팅", "공개채팅")
	f.Fuzz(func(t *testing.T, s, value, room string) {
		pattern, err := Parse(s)
		if err != nil {
			if wire.CheckRoom(s) == nil {
				t.Fatalf("%q is a room but no pattern: %v", s, err)
			}
			return
		}
		got := Allowed([]Pattern{pattern}, func(string) (string, bool) { return value, value != "" })(room)
		if want := matchesAsRegexp(s, value, room); got != want {
			t.Errorf("pattern %q, value %q, room %q: %v, want %v", s, value, room, got, want)
		}
		if wire.CheckRoom(room) == nil && wire.CheckRoom(s) == nil && got != (s == room) {
			t.Errorf("pattern %q, room %q: %v", s, room, got)
		}
	})
}

// matchesAsRegexp is what a pattern means, all placeholders of one value.
func matchesAsRegexp(pattern, value, room string) bool {
	usable := value != ""
	for _, r := range value {
		usable = usable && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.Is(unicode.Nd, r) || strings.ContainsRune("_-.", r))
	}
	expression := ""
	for _, part := range regexp.MustCompile(`(?s)\{[^}]*\}|.`).FindAllString(pattern, -1) {
		switch {
		case part == "*":
			expression += ".*"
		case part[0] == '{' && !usable:
			return false
		case part[0] == '{':
			expression += regexp.QuoteMeta(value)
		default:
			expression += regexp.QuoteMeta(part)
		}
	}
	return regexp.MustCompile(`(?s)^` + expression + `$`).MatchString(room)
}
