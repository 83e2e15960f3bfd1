package webhook

import (
	"fmt"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func message(n int, room, text string) *store.Message {
	return store.NewMessage(store.ID{Ms: int64(n)}, room, store.Draft{Text: text})
}

// What a tail holds is bounded, however many rooms there are while the site is away.
func TestATailIsBounded(t *testing.T) {
	tail := newTail()
	const n = maxSpilled + 2*maxTail
	for i := range n {
		tail.Delivered([]*store.Message{message(i+1, fmt.Sprint("r", i), "x")})
	}
	if len(tail.spilled) > maxSpilled || len(tail.entries) > maxTail {
		t.Errorf("it holds %d entries, and knows of %d rooms", len(tail.entries), len(tail.spilled))
	}
	got := tail.after(store.ID{}, 10)
	if !got.behind || !got.missed || got.upTo != (store.ID{Ms: n - maxTail}) {
		t.Errorf("behind %t, missed %t, up to %v: want the reader to look into all rooms", got.behind, got.missed, got.upTo)
	}
	if got = tail.after(got.upTo, 10); got.behind || got.missed || len(got.entries) != 10 {
		t.Errorf("then %+v, want the first entries", got)
	}
	large := newTail()
	for i := range 100 {
		large.Delivered([]*store.Message{message(i+1, "a", fmt.Sprintf("%30000d", i))})
	}
	if large.bytes > maxTailBytes || len(large.entries) > 40 {
		t.Errorf("it holds %d entries of %d bytes", len(large.entries), large.bytes)
	}
	large.release(store.ID{Ms: 100})
	if large.bytes != 0 || len(large.entries) != 0 {
		t.Errorf("after all was accepted it holds %d entries of %d bytes", len(large.entries), large.bytes)
	}
}

// A tail has each message as it is now, and each change once.
func TestATailHasMessagesAsTheyAreNow(t *testing.T) {
	tail := newTail()
	tail.Delivered([]*store.Message{message(1, "a", "one"), message(2, "a", "two"), message(3, "b", "three")})
	for at := 4; at < 9; at++ {
		tail.Changed(message(1, "a", fmt.Sprint("one at ", at)), store.ID{Ms: int64(at)})
	}
	tail.Deleted("a", store.ID{Ms: 2}, store.ID{Ms: 9})
	tail.Changed(message(3, "b", "3"), store.ID{Ms: 10})
	tail.Forgotten("b", store.ID{Ms: 3}, store.ID{Ms: 11})
	var got string
	for _, e := range tail.after(store.ID{}, 100).entries {
		got += string(e.append(nil)) + "\n"
	}
	want := `{"type":"message","room":"a","message":{"text":"one at 8","timestamp":1,"id":"1","room":"a"}}
{"type":"change","room":"a","message":{"text":"one at 8","timestamp":1,"id":"1","room":"a"}}
{"type":"delete","room":"a","id":"2"}
{"type":"delete","room":"b","through":"3"}
`
	if got != want {
		t.Errorf("it has\n%swant\n%s", got, want)
	}
	if tail.release(store.ID{Ms: 11}); tail.bytes != 0 || len(tail.changes) != 0 {
		t.Errorf("%d bytes and %d changes are left", tail.bytes, len(tail.changes))
	}
}

// A batch has at most 100 items, and less if they are long.
func TestBatches(t *testing.T) {
	entries := make([]entry, 250)
	for i := range entries {
		entries[i] = entryOf(message(i+1, store.Lobby, "x"))
	}
	if _, n := encode(entries); n != 100 {
		t.Errorf("it has %d items, want 100", n)
	}
	for i := range entries {
		entries[i] = entryOf(message(i+1, store.Lobby, fmt.Sprintf("%30000d", i)))
	}
	if body, n := encode(entries); n != 18 || len(body) > 1_000_000 {
		t.Errorf("it has %d items and %d bytes", n, len(body))
	}
	if body, n := encode([]entry{{kind: gap, reason: expired}}); string(body) != `[{"type":"gap","reason":"expired"}]` || n != 1 {
		t.Errorf("a gap is %s", body)
	}
}
