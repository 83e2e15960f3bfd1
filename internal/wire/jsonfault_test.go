package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFaultsOfJSON(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{``, `it ends too early, expected an object like {"text":"…"}`},
		{`hello`, `byte 1: found h (U+0068), expected an object like {"text":"…"}`},
		{`'{"text":"hi"}'`, `byte 1: found ' (U+0027), expected an object like {"text":"…"}`},
		{`{'text':'hi'}`, `byte 2: found ' (U+0027), expected a key in double quotes`},
		{`{text:hi}`, `byte 2: found t (U+0074), expected a key in double quotes`},
		{`{“text”:"hi"}`, `byte 2: found “ (U+201C), expected a key in double quotes`},
		{`{"text":hi}`, `byte 9: found h (U+0068), expected a value; strings are in double quotes`},
		{`{"text":'hi'}`, `byte 9: found ' (U+0027), expected a value; strings are in double quotes`},
		{`{"text":}`, `byte 9: found } (U+007D), expected a value; strings are in double quotes`},
		{`{"text" "hi"}`, `byte 9: found " (U+0022), expected a colon after the key`},
		{`{"text":"hi",}`, `byte 14: found } (U+007D), expected a key in double quotes`},
		{`{"text":"hi" "name":"kim"}`, `byte 14: found " (U+0022), expected a comma or }`},
		{`{"text":"say "hi""}`, `byte 15: found h (U+0068), expected a comma or }`},
		{`{"text":"hi"`, `it ends too early, expected a comma or }`},
		{`{"text":"hi`, `it ends too early, expected the double quote that ends a string`},
		{`{"text":"hi\`, `it ends too early, expected one of "\/bfnrtu after \`},
		{`{"text":"\u12`, `it ends too early, expected four hexadecimal digits after \u`},
		{`{"text":"\u12g4"}`, `byte 14: found g (U+0067), expected four hexadecimal digits after \u`},
		{`{"text":"C:\dir"}`, `byte 13: found d (U+0064), expected one of "\/bfnrtu after \`},
		{"{\"text\":\"a\nb\"}", `byte 11: found U+000A, expected \u000a in its place`},
		{"{\n\t\"text\": \"a\",\n\t\"name\": kim\n}", `line 3, byte 10: found k (U+006B), expected a value`},
		{`{"text":"hi"} x`, `byte 15: found x (U+0078), expected nothing more`},
		{`{"text":"hi"}{"text":"ho"}`, `byte 14: found { (U+007B), expected nothing more`},
		{`{"a":[1,2}`, `byte 10: found } (U+007D), expected a comma or ]`},
		{`{"a":01}`, `byte 7: found 1 (U+0031), expected a comma or }`},
		{`{"a":-}`, `byte 7: found } (U+007D), expected a digit`},
		{`{"a":1.}`, `byte 8: found } (U+007D), expected a digit`},
		{`{"a":1e+}`, `byte 9: found } (U+007D), expected a digit`},
		{`{"a":tru}`, `byte 6: found t (U+0074), expected a value`},
		{"{\"a\":\u00a01}", `byte 6: found U+00A0, expected a value`},
		{strings.Repeat("[", 10001), `byte 10001: found [ (U+005B), expected no more than 10000 levels`},
	} {
		if err := JSONFault([]byte(test.body)); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%.60q: %v, want %q", test.body, err, test.want)
		}
	}
}

// There is a fault in what encoding/json does not take, and only there.
func FuzzJSONFault(f *testing.F) {
	for _, s := range []string{
		`{"text":"hi"}`, `[1, -2.5e+3, true, null, "\u00e9\n", {}, []]`, ` 0 `, `01`, `"\x"`, `{"a":}`, "\"\n\"", strings.Repeat("[", 10000) + strings.Repeat("]", 10000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		if !utf8.Valid(s) {
			return
		}
		if err := JSONFault(s); (err == nil) != json.Valid(s) {
			t.Fatalf("%q: %v, but valid: %v", s, err, json.Valid(s))
		}
	})
}
