package wire

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// Whatever is written into a form, the message says the same as one in JSON.
func FuzzForm(f *testing.F) {
	f.Add("hi", "kim", "n1")
	f.Add("a&b=c;+%", "👩‍💻", "")
	f.Add("a\r\nb", " x", "-")
	f.Fuzz(func(t *testing.T, text, name, nonce string) {
		if nonce == "" || strings.Contains(text, "\r\n") {
			return // empty means not filled in, and line ends are the browser's
		}
		form := url.Values{"text": {text}, "name": {name}, "nonce": {nonce}}.Encode()
		if !IsForm([]byte(form)) {
			t.Fatalf("%q is not taken for a form", form)
		}
		object, _ := json.Marshal(map[string]string{"text": text, "name": name, "nonce": nonce})
		got, err := DecodeForm([]byte(form), "lobby", 1000)
		want, jsonErr := DecodeMessage(object, "lobby", 1000)
		if strings.Contains(string(object), `\ufffd`) {
			return // was not UTF-8
		}
		if (err == nil) != (jsonErr == nil) || err == nil && got != want {
			t.Fatalf("%q becomes %+v, %v; as JSON %+v, %v", form, got, err, want, jsonErr)
		}
	})
}
