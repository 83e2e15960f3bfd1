package bolt

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// testdata/format1.db was created at noon by a version whose messages could not change:
// six messages of three owners in the room tea, of which it keeps the newest, one that
// was deleted, two in the room 차, and a forgotten room.
func TestAFileOfFormat1(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 7, 1, 12, 1, 0, 0, time.UTC) }
	path := unpackFile(t, "format1.db")
	openNow := func() *Store {
		t.Helper()
		s, err := open(path, "test", new(storetest.Hub), store.Limits{Count: 4, Rooms: 4}, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	texts := func(s *Store, room string) (texts []string) {
		t.Helper()
		page, err := s.After(t.Context(), store.Span{Rooms: []string{room}, UpTo: s.State().Latest, Changes: true}, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			if !m.IsNotice() {
				texts = append(texts, m.Post().Text)
			}
		}
		return texts
	}
	owners := []store.Owner{"", "name:kim", "key:abc"}
	repeat := func(s *Store, i int) store.Receipt {
		t.Helper()
		return send(t, s, "tea", store.Draft{Text: "again", Owner: owners[i%3], Nonce: string(rune('a' + i))})
	}
	const deleted = "deleted secret"
	if !fileHas(t, path, deleted) {
		t.Fatal("the file should have the deleted text in a free page")
	}

	s := openNow()
	if got, want := texts(s, "tea"), []string{"tea d", "tea e", "tea f"}; !slices.Equal(got, want) {
		t.Errorf("tea has %q, want %q", got, want)
	}
	if got, want := texts(s, "차"), []string{"네", "\"\u2028"}; !slices.Equal(got, want) {
		t.Errorf("차 has %q, want %q", got, want)
	}
	if got := texts(s, "forgotten"); got != nil {
		t.Errorf("the forgotten room has %q", got)
	}
	for i := range 6 {
		if got := repeat(s, i); !got.Repeat || got.Message == nil || got.Message.Post().Text != fmt.Sprint("tea ", string(rune('a'+i))) {
			t.Errorf("a repeat of message %d gets %+v", i, got)
		}
	}
	if got := send(t, s, "tea", store.Draft{Text: "x", Owner: "name:kim", Nonce: "gone"}); !got.Repeat || got.Message != nil {
		t.Errorf("a repeat of the deleted message gets %+v", got)
	}
	// nobody knows whose an old message is, so only moderators can change it
	last := repeat(s, 5).ID
	edit := store.Change{Kind: store.Edit, By: owners[2], Text: "edited", HasText: true, MaxText: 100}
	if _, err := s.Change(t.Context(), "tea", last, edit); !store.IsRefusal(err) {
		t.Errorf("its author changes an old message: %v", err)
	}
	edit.Moderator = true
	if _, err := s.Change(t.Context(), "tea", last, edit); err != nil {
		t.Fatal(err)
	}
	want := append(texts(s, "tea")[:2], "edited")
	state := s.State()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if fileHas(t, path, deleted) {
		t.Error("the deleted text is still in the file")
	}

	s = openNow()
	defer s.Close()
	if got := s.State(); got != state {
		t.Errorf("the state is %+v, was %+v", got, state)
	}
	if got := texts(s, "tea"); !slices.Equal(got, want) {
		t.Errorf("tea has %q, want %q", got, want)
	}
	if got := repeat(s, 5); got.Message == nil || got.Message.Post().Text != "edited" {
		t.Errorf("a repeat of the edited message gets %+v", got)
	}
}
