package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// What a message consists of can be read back from it.
func TestPostComesBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"", "x", "a\"b\\c", "\n\r\t", "방\u2028🫖\u2029", "</script>&", strings.Repeat("n", 64), "\u007f", "\ufffd"}
	word := func() string { return words[random.IntN(len(words))] }
	for range 2000 {
		p := Post{Draft: Draft{
			Name: word(), Nonce: word(), Owner: Owner(word()), Author: word(), Text: word() + word(), Event: []string{"", "order"}[random.IntN(2)],
			Data: []string{"", `{"a":[1,"\u2028"]}`, "null", `"x"`, `{"a":"}\\\"]","data":[",\"data\":",{"edited":5}],"reactions":{}}`}[random.IntN(5)],
		}}
		if random.IntN(2) == 0 {
			p.ReplyTo = ID{Ms: random.Int64N(100) + 1, N: random.Uint64N(3)}
		}
		if random.IntN(2) == 0 {
			p.Revision = ID{Ms: random.Int64N(100) + 1}
			p.Edited = random.Int64N(100)
			for i := range random.IntN(3) {
				p.Reactions = append(p.Reactions, Reaction{fmt.Sprint(i, word()), []Owner{OwnerByName("kim"), OwnerByKey(strings.Repeat("k", 43))}[:1+random.IntN(2)]})
			}
		}
		m := NewPost(ID{Ms: 5}, "r", p)
		if got := m.Post(); !reflect.DeepEqual(got, p) {
			t.Fatalf("%s\ncomes back as %+v\nnot as         %+v", m.JSON(), got, p)
		}
		if !json.Valid(m.JSON()) || strings.ContainsAny(string(m.JSON()), "\n\r") {
			t.Fatalf("%s is no JSON on one line", m.JSON())
		}
		var whole, message struct {
			Text            *string
			Data, Reactions json.RawMessage
			Edited          int64
		}
		if err := errors.Join(json.Unmarshal(NewWhole(p.Revision, m).JSON(), &whole), json.Unmarshal(m.JSON(), &message)); err != nil {
			t.Fatal(err)
		}
		if message.Reactions == nil {
			message.Reactions = json.RawMessage("{}")
		}
		if !reflect.DeepEqual(whole, message) {
			t.Fatalf("%s\nbecomes the notice %s", m.JSON(), NewWhole(p.Revision, m).JSON())
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "x", `"\`, "\u2028\u0000\u001f", "\\u0041", "🫖\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		m := NewMessage(ID{Ms: 1}, "r", Draft{Text: s, Name: s})
		if got := m.Post(); got.Text != s || got.Name != s {
			t.Fatalf("%q comes back as %q and %q", s, got.Text, got.Name)
		}
	})
}

// Names of those who reacted never make an event too large for the clients that people
// have.
func TestAnEventStaysSmall(t *testing.T) {
	p := Post{Draft: Draft{
		Text: strings.Repeat("\n", 30<<10), Name: strings.Repeat("\"", 64), Nonce: strings.Repeat("n", 64), Author: strings.Repeat("a", 11), ReplyTo: MaxID,
	}, Revision: MaxID, Edited: MaxID.Ms}
	for kind := range MaxReactionKinds {
		r := Reaction{Kind: fmt.Sprintf("%02d%s", kind, strings.Repeat("\"", 30))}
		for i := range MaxReactions / MaxReactionKinds {
			r.By = append(r.By, OwnerByName(fmt.Sprintf("%02d%s", i, strings.Repeat("\"", 62))))
		}
		p.Reactions = append(p.Reactions, r)
	}
	m := NewPost(MaxID, strings.Repeat("𠀀", 64), p)
	for _, event := range [][]byte{m.Frame(), NewWhole(MaxID, m).Frame(), NewDelta(MaxID, m.Room, &Change{Kind: React}, &p).Frame()} {
		if len(event) >= 64<<10 {
			t.Errorf("an event has %d bytes", len(event))
		}
	}
	small := p
	small.Text = "x"
	if got := string(NewPost(MaxID, "r", small).JSON()); strings.Count(got, `\"\"\"",`) < 300 || !strings.Contains(got, `"count":50`) {
		t.Errorf("too few are named in %s", got)
	}
}

func TestOwners(t *testing.T) {
	for owner, want := range map[Owner][2]string{
		"":                                    {"", ""},
		OwnerByName("kim"):                    {"", "kim"},
		OwnerByName("key:x"):                  {"", "key:x"},
		OwnerByKey("0123456789abcdefghij"):    {"0123456789a", "0123456789a"},
		OwnerByKey("short"):                   {"", ""},
		Owner("something of another version"): {"", ""},
	} {
		if got := [2]string{owner.Tag(), owner.Shown()}; got != want {
			t.Errorf("%q has the tag and is shown as %q, want %q", owner, got, want)
		}
	}
}

func TestLengthsAsJavaScriptCounts(t *testing.T) {
	for _, s := range []string{"", "x", "방", "🫖", "a\u2028é🫖방", strings.Repeat("🏴󠁧󠁢󠁥󠁮󠁧󠁿", 3)} {
		if got, want := utf16Len(s), len(utf16.Encode([]rune(s))); got != want {
			t.Errorf("%q has the length %d, want %d", s, got, want)
		}
	}
}
