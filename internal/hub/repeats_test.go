package hub

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// What was a repeat when a batch came stays one, although its nonce is forgotten before the
// rest is stored.
func TestARepeatStaysOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, plenty)
		first, err := h.Publish(t.Context(), "a", store.Draft{Text: "first", Nonce: "n"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(store.NonceLife - time.Second)
		repeats, err := h.FindRepeats(t.Context(), "a", []store.Draft{
			{Text: "another text", Nonce: "n"}, {Text: "new", Nonce: "m"}, {Text: "without"}, {Text: "without"}, {Text: "again", Nonce: "m"},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		fresh, err := h.Publish(t.Context(), "a", repeats.Fresh...)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		var again []bool
		for _, receipt := range repeats.Receipts(t.Context(), fresh) {
			texts = append(texts, receipt.Message.Post().Text)
			again = append(again, receipt.Repeat)
		}
		if want := []string{"first", "new", "without", "without", "new"}; !slices.Equal(texts, want) {
			t.Errorf("the receipts are of %q, want %q", texts, want)
		}
		if want := []bool{true, false, false, false, true}; !slices.Equal(again, want) {
			t.Errorf("repeats are %v, want %v", again, want)
		}
		page, err := h.After(t.Context(), "a", first[0].ID, 10)
		if err != nil || len(page.Messages) != 3 {
			t.Errorf("the room has %v, %v after the first", page.Messages, err)
		}
	})
}

// A repeat is not answered with a message that is deleted while the rest is stored.
func TestARepeatOfWhatIsDeletedMeanwhile(t *testing.T) {
	h := newTestHub(t, plenty)
	first, err := h.Publish(t.Context(), "a", store.Draft{Text: "first", Nonce: "n"})
	if err != nil {
		t.Fatal(err)
	}
	repeats, err := h.FindRepeats(t.Context(), "a", []store.Draft{{Text: "first", Nonce: "n"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Delete(t.Context(), first[0].ID); err != nil {
		t.Fatal(err)
	}
	if receipts := repeats.Receipts(t.Context(), nil); len(receipts) != 1 || receipts[0].Message != nil || receipts[0].ID != first[0].ID {
		t.Errorf("the receipt is %+v", receipts)
	}
}
