package push

import (
	"strings"
	"testing"
	"time"
)

func TestMentions(t *testing.T) {
	for _, test := range []struct {
		text, name string
		want       bool
	}{
		{"@kim", "kim", true},
		{"hello @kim, tea?", "kim", true},
		{"hello @Kim!", "kim", true},
		{"hello @kim", "KIM", true},
		{"(@kim)", "kim", true},
		{"@kim's tea", "kim", true},
		{"@kim.", "kim", true},
		{"@kim. Tea", "kim", true},
		{"@kim-", "kim", true},
		{"@@kim", "kim", true},
		{"@lee@kim", "kim", false}, // an address
		{"차@kim", "kim", true},
		{"@kimchi", "kim", false},
		{"@kim_", "kim", false},
		{"@kim2", "kim", false},
		{"@kim-lee", "kim", false},
		{"@kim.lee", "kim", false},
		{"@kim@example.com", "kim", false},
		{"kim@kim", "kim", false},
		{"a.@kim", "kim", false},
		{"a+@kim", "kim", false},
		{"kim", "kim", false},
		{"@ kim", "kim", false},
		{"@", "kim", false},
		{"@kim", "", false},
		{"@kim lee is here", "kim lee", true},
		{"@kim leeward", "kim lee", false},
		{"@김철수", "김철수", true},
		{"@김철수님", "김철수", true},
		{"@김철수님에게", "김철수", true},
		{"@김철수에게서", "김철수", false}, // 에게 and 서, which is no particle
		{"@김철수님들한테는 차", "김철수", true},
		{"@김철수님들께만은도", "김철수", false}, // five
		{"@김철수민", "김철수", false},
		{"@김철수님abc", "김철수", false},
		{"@김철수님.", "김철수", true},
		{"@kim님", "kim", true},
		{"`@kim`", "kim", false},
		{"`x` @kim", "kim", true},
		{"```\n@kim\n```", "kim", false},
		{"see https://example.com/@kim", "kim", false},
		{"see www.example.com/@kim", "kim", false},
		{"see https://example.com/ @kim", "kim", true},
		{"@é", "e", false}, // e and an accent
		{strings.Repeat("@", 30_000) + "kim", "kim", true},
	} {
		if got := mentions(mentionable(test.text), test.name); got != test.want {
			t.Errorf("%.40q mentions %q: %t, want %t", test.text, test.name, got, test.want)
		}
	}
}

// No text takes long.
func TestMentionsAreFoundFast(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("@김", 7000), strings.Repeat("@김님님님님", 2000), strings.Repeat("`@", 15_000), strings.Repeat("http://@", 3800), "@김" + strings.Repeat("님", 10_000),
	} {
		begin := time.Now()
		mentions(mentionable(text), "김")
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("%.20q… takes %s", text, took)
		}
	}
}
