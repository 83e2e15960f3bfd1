package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a body is, what is stored of it can be sent.
func FuzzDecodeMessage(f *testing.F) {
	for _, s := range []string{
		`{"text":"hi"}`, `{"text":"\ud83d\ude00","name":"x","nonce":"n"}`, `{"text":"\ud83d"}`, `{"text":"\\ud83d"}`,
		"{\"text\":\"\xff\"}", `{"text":"a\u0000"}`, `null`, `[]`, `{"text":1}`, ` {"a" : [{"text":"}"}, 1e3 ] , "text" : "x" }`, `{"te\u0078t":"a\"]"}`, `{"text":"a","text":"b"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		draft, err := DecodeMessage(body, "lobby", 1000)
		// as encoding/json understands it
		var fields map[string]json.RawMessage
		if jsonErr := json.Unmarshal(body, &fields); jsonErr == nil && fields != nil {
			raw, err := splitMessage(body)
			for key, value := range map[string]json.RawMessage{
				"text": raw.text, "name": raw.name, "nonce": raw.nonce, "room": raw.room, "reply_to": raw.replyTo, "signal": raw.signal,
				"event": raw.event, "data": raw.data, "append": raw.append, "react": raw.react, "unreact": raw.unreact,
			} {
				if !bytes.Equal(value, fields[key]) {
					t.Fatalf("%s of %q is %q, want %q (%v)", key, body, value, fields[key], err)
				}
			}
		} else if err == nil {
			t.Fatalf("%q is no object, but was taken for %+v", body, draft)
		}
		if err != nil {
			return
		}
		for _, s := range []string{draft.Text, draft.Name, draft.Nonce} {
			if !utf8.ValidString(s) {
				t.Fatalf("%q is not UTF-8", s)
			}
		}
		if draft.Text == "" || len(draft.Text) > 1000 || checkText(draft.Text) != nil || draft.Nonce != "" && CheckNonce(draft.Nonce) != nil {
			t.Fatalf("%q was taken", draft)
		}
		// a lone surrogate would have become U+FFFD
		var plain struct{ Text string }
		if json.Unmarshal(body, &plain) == nil && strings.Count(draft.Text, "\ufffd") > strings.Count(string(body), "\ufffd")+strings.Count(strings.ToLower(string(body)), `\ufffd`) {
			t.Fatalf("%q became %q", body, draft.Text)
		}
	})
}
