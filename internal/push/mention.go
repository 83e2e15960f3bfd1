package push

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// particles are what may follow a name in Korean without a space, up to four of them, as in
// "@김철수님에게". The page has the same rule, in public/special.js.
var particles = strings.Fields("님 씨 들 께 이 가 은 는 을 를 의 에 와 과 랑 도 만 야 아 여 로 " +
	"께서 에서 에게 한테 하고 으로 부터 까지")

const mostParticles = 4

// unmentioned is code and links, in which the page marks no mentions.
var unmentioned = regexp.MustCompile("(?s:```.*?```)|`[^`\\n]+`|(?i:\\b(?:https?://|www\\.)\\S+)")

// mentionable returns what of a text can mention names, or "" if it mentions none.
func mentionable(text string) string {
	if !strings.Contains(text, "@") {
		return ""
	}
	return strings.ToLower(unmentioned.ReplaceAllString(text, " "))
}

// mentions reports whether a name is mentioned in the result of mentionable: it has an @ and
// the name, whose end is also the end of a word.
func mentions(text, name string) bool {
	if name == "" || text == "" {
		return false
	}
	name = strings.ToLower(name)
	for i := 0; ; i++ {
		at := strings.IndexByte(text[i:], '@')
		if at < 0 {
			return false
		}
		i += at
		if i > 0 && inAddress(text[i-1]) {
			continue // an e-mail address
		}
		if rest, ok := strings.CutPrefix(text[i+1:], name); ok && endsName(rest, mostParticles) {
			return true
		}
	}
}

// inAddress reports whether a byte before an @ makes it a part of an e-mail address.
func inAddress(c byte) bool {
	return c == '_' || c == '.' || c == '+' || c == '-' ||
		'0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// endsName reports whether a name ends before s, or before up to so many particles in s.
func endsName(s string, most int) bool {
	if endsWord(s) {
		return true
	}
	if most == 0 {
		return false
	}
	for _, particle := range particles {
		if rest, ok := strings.CutPrefix(s, particle); ok && endsName(rest, most-1) {
			return true
		}
	}
	return false
}

// endsWord reports whether a word ends before s. One like "kim-lee" or "kim.lee" goes on.
func endsWord(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case size == 0:
		return true
	case r == '_' || unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r):
		return false
	case r == '-' || r == '.' || r == '@':
		next, size := utf8.DecodeRuneInString(s[size:])
		return size == 0 || !unicode.IsLetter(next) && !unicode.IsNumber(next)
	}
	return true
}
