package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Whatever a body is, what is made of a message can be sent.
func FuzzDecodeChange(f *testing.F) {
	for _, s := range []string{
		`{"text":"x"}`, `{"append":"\n"}`, `{"react":"👍"}`, `{"unreact":"👩🏻‍❤️‍💋‍👨🏿"}`, `{"text":"x","data":{"a": "\u2028"}}`, `{"data":null}`,
		`{"append":"x","nonce":"n","room":"lobby"}`, `{"react":1}`, `{"text":"a","append":"b"}`, "{\"data\":\"\u2028\u0085\"}", `{"append":"\ud83d"}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := DecodeChange(body, "lobby", 100)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is no JSON", body)
		}
		if c.Nonce != "" && CheckNonce(c.Nonce) != nil || len(c.Text)+len(c.Data) > 100 && c.Kind != store.React && c.Kind != store.Unreact {
			t.Fatalf("%q is taken for %+v", body, c)
		}
		c.By = store.OwnerByName("kim")
		post := store.Post{Draft: store.Draft{Text: "x", Owner: c.By}}
		if _, err := c.Apply(&post, store.ID{Ms: 1}); err != nil {
			return
		}
		post.Revision = store.ID{Ms: 1}
		m := store.NewPost(store.ID{Ms: 1}, "r", post)
		for _, sent := range [][]byte{m.JSON(), store.NewDelta(m.ID, m.Room, &c, &post).JSON(), store.NewWhole(m.ID, m).JSON()} {
			if !json.Valid(sent) || strings.ContainsAny(string(sent), "\n\r\u0085\u2028\u2029") {
				t.Fatalf("after %q this would be sent: %q", body, sent)
			}
		}
	})
}

func TestReactions(t *testing.T) {
	for reaction, ok := range map[string]bool{
		"👍": true, "👍🏽": true, "❤️": true, "👩‍👩‍👧‍👦": true, "👩🏻‍❤️‍💋‍👨🏿": true, "🏴󠁧󠁢󠁥󠁮󠁧󠁿": true, "1️⃣": true, "🇰🇷": true, "+1": true, "좋아요": true,
		strings.Repeat("x", 32): true,
		"":                      false, strings.Repeat("x", 33): false, strings.Repeat("👍", 9): false, " ": false, "a\n": false, "\u200d": false, "x\ufe0f": false, "a  b": false,
		"👩🏻‍❤️‍💋‍👨🏿👍": false,
	} {
		if err := CheckReaction(reaction); (err == nil) != ok {
			t.Errorf("%q: %v", reaction, err)
		}
	}
}
