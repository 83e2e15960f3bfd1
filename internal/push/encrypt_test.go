package push

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func decode64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// https://www.rfc-editor.org/rfc/rfc8291#section-5
func TestTheExampleOfTheRFC(t *testing.T) {
	sender, err := ecdh.P256().NewPrivateKey(decode64(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := seal([]byte("When I grow up, I want to be a watermelon"), 0,
		decode64(t, "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
		decode64(t, "BTBZMqHH6r4Tts7J_aSIgg"), sender, [16]byte(decode64(t, "DGv6ra1nlYgDCS1FRnbzlw")))
	if err != nil {
		t.Fatal(err)
	}
	want := decode64(t, "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN")
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// A body is as long as that of most other messages, and never longer than may be.
func TestBodiesArePadded(t *testing.T) {
	sub := newSub(t, "https://push.example/a")
	for size := range maxPlain + 1 {
		if size > 600 && size < maxPlain-300 {
			continue
		}
		body, err := encrypt(make([]byte, size), sub)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		want := min((size+padTo-1)/padTo*padTo, maxPlain) + headBytes + 1 + tagBytes
		if len(body) != want || len(body) > maxRecord {
			t.Errorf("%d bytes become %d, want %d", size, len(body), want)
		}
	}
	if _, err := encrypt(make([]byte, maxPlain+1), sub); err == nil {
		t.Error("a payload that is too long is encrypted")
	}
}

// A text that is too long is cut between code points; what is there is valid JSON.
func TestTextsAreCut(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, text := range []string{
		"", "short", strings.Repeat("a", 3000), strings.Repeat("a", 30_000), strings.Repeat("가", 10_000), strings.Repeat("👍", 5000),
		strings.Repeat("\n", 10_000), strings.Repeat(`"\`, 10_000), strings.Repeat("\u2028", 5000), strings.Repeat("a가👍\t", 3000),
	} {
		m := store.NewMessage(store.ID{Ms: 1795353900585, N: 7}, strings.Repeat("방", 64), store.Draft{Text: text, Name: long, Author: "0123456789a"})
		p := noticeOf(m, start).payload()
		var got map[string]string
		unmarshalOrFail(t, p, &got)
		cut, wasCut := strings.CutSuffix(got["text"], ellipsis)
		if len(p) > maxPlain || !strings.HasPrefix(text, cut) || wasCut != (got["text"] != text) || wasCut && len(p) < maxPlain-12 {
			t.Errorf("%.10q…: %d bytes, of which %d of text: %.20q…", text, len(p), len(got["text"]), got["text"])
		}
	}
	m := store.NewMessage(store.ID{Ms: 1}, "a", store.Draft{Data: `{"n":1}`})
	if got, want := string(noticeOf(m, start).payload()), `{"room":"a","id":"1"}`; got != want {
		t.Errorf("a message without text is pushed as %s, want %s", got, want)
	}
}
