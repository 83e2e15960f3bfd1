package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// owned returns a draft with an owner's nonce.
func owned(owner store.Owner, nonce, text string) store.Draft {
	return store.Draft{Text: text, Owner: owner, Nonce: nonce}
}

// send stores one draft and returns its receipt.
func send(t *testing.T, s store.Store, room string, draft store.Draft) store.Receipt {
	t.Helper()
	receipts, err := s.Append(t.Context(), room, []store.Draft{draft})
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0]
}

// answers checks that a repeat returns a message: alone, in a batch, and from Find.
func answers(t *testing.T, s store.Store, room string, draft store.Draft, want *store.Message) {
	t.Helper()
	each(t, s, room, draft, func(how string, got store.Receipt) {
		t.Helper()
		if !got.Repeat || got.ID != want.ID || got.Message == nil || string(got.Message.JSON()) != string(want.JSON()) {
			t.Errorf("%s of %+v in %s gives %+v, want %s", how, draft, room, got, want.JSON())
		}
	})
}

// isGone checks that a repeat returns only the id of the deleted message.
func isGone(t *testing.T, s store.Store, room string, draft store.Draft, id store.ID) {
	t.Helper()
	each(t, s, room, draft, func(how string, got store.Receipt) {
		t.Helper()
		if want := (store.Receipt{ID: id, Repeat: true}); got != want {
			t.Errorf("%s of %+v in %s gives %+v, want %+v", how, draft, room, got, want)
		}
	})
}

func each(t *testing.T, s store.Store, room string, draft store.Draft, check func(how string, got store.Receipt)) {
	t.Helper()
	found, err := s.Find(t.Context(), room, draft.Owner, draft.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	check("Find", found)
	check("a repeat", send(t, s, room, draft))
	batch, err := s.Append(t.Context(), room, []store.Draft{draft, Text("between"), draft})
	if err != nil {
		t.Fatal(err)
	}
	check("a batch", batch[0])
	check("the end of a batch", batch[2])
	if batch[1].Repeat || batch[1].Message == nil || batch[1].ID != batch[1].Message.ID {
		t.Errorf("a new message beside a repeat gets %+v", batch[1])
	}
}

func testNonce(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	first := send(t, s, "a", owned("", "n", "one"))
	if first.Repeat || first.ID != first.Message.ID {
		t.Errorf("the first message gets %+v", first)
	}
	if again := send(t, s, "a", owned("", "n", "other")); !again.Repeat || again.ID != first.ID || string(again.Message.JSON()) != string(first.Message.JSON()) {
		t.Errorf("a repeat is answered %+v, want %s", again, first.Message.JSON())
	}
	if other := send(t, s, "b", owned("", "n", "one")); other.Repeat {
		t.Error("the same nonce in another room is taken for a repeat")
	}
	send(t, s, "a", store.Draft{})
	if none := send(t, s, "a", store.Draft{}); none.Repeat {
		t.Error("messages without a nonce are taken for repeats")
	}
	batch, err := s.Append(t.Context(), "a", []store.Draft{owned("", "m", "x"), owned("", "n", "y"), owned("", "m", "z")})
	if err != nil || batch[0].Repeat || !batch[1].Repeat || !batch[2].Repeat || batch[2].ID != batch[0].ID {
		t.Errorf("a batch with repeats is answered %+v, %v", batch, err)
	}
	if got := len(hub.Delivered()); got != 5 {
		t.Errorf("%d messages were delivered, want 5", got)
	}
	if found, err := s.Find(t.Context(), "a", "", "n"); err != nil || !found.Repeat || found.ID != first.ID {
		t.Errorf("Find = %+v, %v, want %v", found, err, first.ID)
	}
	for _, nonce := range []string{"unheard", ""} {
		if found, err := s.Find(t.Context(), "a", "", nonce); err != nil || found != (store.Receipt{}) {
			t.Errorf("Find of the nonce %q = %+v, %v", nonce, found, err)
		}
	}

	// many at once are stored once
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := s.Append(t.Context(), "race", []store.Draft{owned("", "r", "once")}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if found, _ := all(t, s, store.ID{}, "race"); len(found) != 1 {
		t.Errorf("16 racing repeats were stored %d times", len(found))
	}
}

func testNonceOutlivesRetention(t *testing.T, open Open) {
	s := open(t, new(Hub), store.Limits{Count: 1, Rooms: 10})
	first := MustAppend(t, s, "a", owned("", "n", "one"))[0]
	for i := range 5 {
		MustAppend(t, s, "a", Text("%d", i))
	}
	answers(t, s, "a", owned("", "n", "one"), first)
}

func testNonceOutlivesRoom(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, store.Limits{Count: 10, Rooms: 2})
	first := MustAppend(t, s, "a", owned("kim", "n", "one"))[0]
	MustAppend(t, s, "b", Text("x"))
	MustAppend(t, s, "c", Text("x"))
	if found, _ := all(t, s, store.ID{}, "a"); len(found) > 0 {
		t.Fatal("the room has not made room")
	}
	answers(t, s, "a", owned("kim", "n", "one"), first)
	// the messages that only nonces keep are forgotten too
	MustAppend(t, s, "b", Text("x"))
	MustAppend(t, s, "c", Text("x"))
	if err := s.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	isGone(t, s, "a", owned("kim", "n", "one"), first.ID)
}

// owners are words that a store could confuse.
var owners = []store.Owner{"", "name:kim", "name:lee", "name:ki", "name:김", "key:name:kim", "name:kim\x00n", store.Owner(strings.Repeat("k", 300))}

func testNonceOwners(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	stored := make(map[store.Owner]*store.Message)
	for _, owner := range owners {
		first := send(t, s, "a", owned(owner, "n", "of "+string(owner)))
		if first.Repeat {
			t.Errorf("the first message of %q is answered as a repeat of %s", owner, first.Message.JSON())
		}
		if want := store.NewMessage(first.ID, "a", store.Draft{Text: "of " + string(owner), Nonce: "n"}); string(first.Message.Frame()) != string(want.Frame()) {
			t.Errorf("readers see %q, want %q", first.Message.Frame(), want.Frame())
		}
		stored[owner] = first.Message
	}
	for _, owner := range owners {
		answers(t, s, "a", owned(owner, "n", "again"), stored[owner])
		if found, err := s.Find(t.Context(), "b", owner, "n"); err != nil || found.Repeat {
			t.Errorf("in another room %q finds %+v, %v", owner, found, err)
		}
	}
	batch, err := s.Append(t.Context(), "a", []store.Draft{owned("kim", "m", "x"), owned("lee", "m", "y"), owned("kim", "m", "z")})
	if err != nil || batch[0].Repeat || batch[1].Repeat || !batch[2].Repeat || batch[1].ID == batch[0].ID || batch[2].ID != batch[0].ID {
		t.Errorf("a batch of two owners is answered %+v, %v", batch, err)
	}
}

func testNonceOwnersRace(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	answered := make([]*store.Message, 24)
	var racing sync.WaitGroup
	for i := range answered {
		racing.Go(func() {
			owner := store.Owner(fmt.Sprint("o", i%3))
			receipts, err := s.Append(t.Context(), "a", []store.Draft{owned(owner, "n", string(owner))})
			if err != nil {
				t.Error(err)
				return
			}
			answered[i] = receipts[0].Message
		})
	}
	racing.Wait()
	for i, m := range answered {
		if m == nil || m != nil && string(m.JSON()) != string(answered[i%3].JSON()) || !strings.Contains(string(m.JSON()), fmt.Sprintf(`"text":"o%d"`, i%3)) {
			t.Fatalf("publisher %d of owner o%d is answered %+v", i, i%3, m)
		}
	}
	if found, _ := all(t, s, store.ID{}, "a"); len(found) != 3 {
		t.Errorf("%d messages of 3 owners are stored", len(found))
	}
}

func testNonceOfDeleted(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	kim, lee, other := owned("kim", "n", "of kim"), owned("lee", "n", "of lee"), owned("", "other", "x")
	sent := MustAppend(t, s, "a", kim, lee, other)
	if err := s.Delete(t.Context(), sent[0].ID); err != nil {
		t.Fatal(err)
	}
	isGone(t, s, "a", kim, sent[0].ID)
	answers(t, s, "a", lee, sent[1])
	if err := s.Delete(t.Context(), sent[2].ID); err != nil {
		t.Fatal(err)
	}
	isGone(t, s, "a", other, sent[2].ID)
	isGone(t, s, "a", kim, sent[0].ID)
	equal(t, "told", hub.deleted, []store.ID{sent[0].ID, sent[2].ID})
	if again := MustAppend(t, s, "a", owned("kim", "n2", "of kim"))[0]; !again.ID.After(sent[2].ID) {
		t.Errorf("the same text under another nonce is answered %s", again.JSON())
	}
}

func testNonceDeletedLate(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, store.Limits{Count: 1, Rooms: 10})
	draft := owned("kim", "n", "one")
	first := MustAppend(t, s, "a", draft)[0]
	for i := range 5 {
		MustAppend(t, s, "a", Text("%d", i))
	}
	for _, want := range []error{nil, store.ErrNotFound} {
		if err := s.Delete(t.Context(), first.ID); err != want { //nolint:errorlint // as it is documented
			t.Errorf("Delete = %v, want %v", err, want)
		}
	}
	isGone(t, s, "a", draft, first.ID)
	equal(t, "told", hub.deleted, []store.ID{first.ID})
}

func testNonceOfForgotten(t *testing.T, open Open) {
	s := open(t, new(Hub), store.Limits{Count: 5, Rooms: 10})
	// messages in the room, and older ones that only their nonces keep
	drafts := make([]store.Draft, 10)
	for i := range drafts {
		drafts[i] = owned(store.Owner(fmt.Sprint("o", i%2)), fmt.Sprint("n", i), fmt.Sprint(i))
	}
	sent := MustAppend(t, s, "a", drafts...)
	other := MustAppend(t, s, "aa", drafts[0])[0]
	if err := s.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for i, draft := range drafts {
		isGone(t, s, "a", draft, sent[i].ID)
	}
	answers(t, s, "aa", drafts[0], other)
	later := MustAppend(t, s, "a", owned("", "later", "x"))[0]
	answers(t, s, "a", owned("", "later", "x"), later)
	if err := s.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	isGone(t, s, "a", owned("", "later", "x"), later.ID)
	isGone(t, s, "a", drafts[9], sent[9].ID)
}

func testNonceDeletedMeanwhile(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	draft := owned("kim", "n", "one")
	for round := range 5 {
		room := fmt.Sprint("r", round)
		first := MustAppend(t, s, room, draft)[0]
		deleted := make(chan struct{})
		var repeating sync.WaitGroup
		for range 4 {
			repeating.Go(func() {
				for over := false; ; {
					receipts, err := s.Append(t.Context(), room, []store.Draft{draft})
					if err != nil {
						t.Error(err)
						return
					}
					if got := receipts[0]; got.ID != first.ID || !got.Repeat || over && got.Message != nil {
						t.Errorf("a repeat is answered %+v, deleted before it was sent: %v", got, over)
						return
					}
					if over {
						return
					}
					select {
					case <-deleted:
						over = true
					default:
					}
				}
			})
		}
		remove := func() error { return s.Delete(t.Context(), first.ID) }
		if round%2 == 1 {
			remove = func() error { return s.Forget(t.Context(), room) }
		}
		if err := remove(); err != nil {
			t.Error(err)
		}
		close(deleted)
		repeating.Wait()
	}
}

// testNoncesReopened checks that deleted and forgotten messages stay so after a restart.
func testNoncesReopened(t *testing.T, open Open, reopen Reopen) {
	limits := store.Limits{Count: 3, Rooms: 10}
	s := open(t, new(Hub), limits)
	drafts := make([]store.Draft, 5)
	for i := range drafts {
		drafts[i] = owned([]store.Owner{"", "name:kim"}[i%2], fmt.Sprint("n", i), fmt.Sprint(i))
	}
	kept, gone := MustAppend(t, s, "kept", drafts...), MustAppend(t, s, "gone", drafts...)
	for _, i := range []int{0, 4} { // one that only its nonce keeps, and one in the room
		if err := s.Delete(t.Context(), kept[i].ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Forget(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = reopen(t, s, new(Hub), limits)
		for i, draft := range drafts {
			if i == 0 || i == 4 {
				isGone(t, s, "kept", draft, kept[i].ID)
			} else {
				answers(t, s, "kept", draft, kept[i])
			}
			isGone(t, s, "gone", draft, gone[i].ID)
			if found, err := s.Find(t.Context(), "kept", "name:lee", draft.Nonce); err != nil || found.Repeat {
				t.Errorf("another owner finds %+v, %v", found, err)
			}
		}
	}
}
