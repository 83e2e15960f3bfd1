package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Whatever a site answers, what it leaves could have been posted.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{``, `{}`, `[]`, `null`, `{"text":"a"}`, `{"text":" "}`, `{"text":1}`, `{"append":"\u0000"}`, `{"name":"a\u200bb"}`, `{"event":"hello"}`, `{"data":[1,"\ud800"]}`, `{"text":"\u2028","data":null,"name":""}`, `[{},{"text":"b"}]`, `[{}]`} {
		f.Add([]byte(answer))
	}
	const most = 100
	f.Fuzz(func(t *testing.T, answer []byte) {
		first, second := store.Draft{Text: "x", Name: "kim", Nonce: "n"}, store.Draft{Data: "[1]", Event: "order"}
		for _, q := range []*Question{
			{Room: "r", Messages: []*store.Draft{&first}},
			{Room: "r", Messages: []*store.Draft{&first, &second}, IsBatch: true},
		} {
			if ApplyAnswer(answer, q, most) != nil {
				continue
			}
			for _, draft := range q.Messages {
				message, _ := json.Marshal(map[string]any{"text": draft.Text, "name": draft.Name, "event": given(draft.Event), "data": json.RawMessage(orNull(draft.Data))})
				again, err := DecodeMessage(message, "r", most)
				if err == nil && draft.Name != "" {
					err = CheckName(draft.Name)
				}
				if err != nil || again.Text != draft.Text || again.Data != draft.Data || again.Event != draft.Event {
					t.Fatalf("%q leaves %s, which cannot be posted: %v", answer, message, err)
				}
			}
		}
		for _, kind := range []store.ChangeKind{store.Edit, store.Append} {
			c := store.Change{Kind: kind, Text: "x", HasText: kind == store.Edit}
			if ApplyAnswer(answer, &Question{Room: "r", Change: &c}, most) != nil {
				continue
			}
			change := map[string]any{"append": c.Text}
			if kind == store.Edit {
				change = map[string]any{"text": c.Text, "data": json.RawMessage(orNull(c.Data))}
			}
			body, _ := json.Marshal(change)
			if again, err := DecodeChange(body, "r", most); err != nil || again.Text != c.Text || again.Data != c.Data {
				t.Fatalf("%q leaves the change %s, which cannot be made: %v", answer, body, err)
			}
		}
	})
}

func orNull(data string) string {
	if data == "" {
		return "null"
	}
	return data
}

func given(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Questions are JSON, whatever they are about.
func TestQuestionsAreJSON(t *testing.T) {
	draft := store.Draft{Text: "a\"\n\u2028", Name: "kim", Nonce: "n", Author: "12345678901", Event: "order", Data: `{"a":[1]}`, ReplyTo: store.ID{Ms: 7, N: 2}}
	for want, q := range map[string]*Question{
		`{"room":"r","message":{"text":"a\"\n\u2028","name":"kim","nonce":"n","author":"12345678901","event":"order","data":{"a":[1]},"reply_to":"7-2"},"client_ip":"::1","method":"POST"}`: {
			Messages: []*store.Draft{&draft}, Method: "POST",
		},
		`{"room":"r","messages":[{"text":"x"},{"text":"y"}],"client_ip":"::1","method":"POST"}`: {
			Messages: []*store.Draft{{Text: "x"}, {Text: "y"}}, IsBatch: true, Method: "POST",
		},
		`{"room":"r","message":{"id":"5","text":"","data":[1],"name":"kim"},"client_ip":"::1","method":"PATCH"}`: {
			Change: &store.Change{HasText: true, Data: "[1]"}, About: store.ID{Ms: 5}, Name: "kim", Method: "PATCH",
		},
		`{"room":"r","message":{"id":"5","append":"x","author":"12345678901"},"client_ip":"::1","method":"PATCH"}`: {
			Change: &store.Change{Kind: store.Append, Text: "x"}, About: store.ID{Ms: 5}, Author: "12345678901", Method: "PATCH",
		},
	} {
		q.Room, q.ClientIP = "r", "::1"
		got := string(AppendQuestion(nil, q))
		if strings.ReplaceAll(got, "\u2028", `\u2028`) != want || !json.Valid([]byte(got)) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
