package wire

import (
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func TestAReceiptOfWhatIsGone(t *testing.T) {
	id := store.ID{Ms: 17, N: 3}
	if got, want := string(AppendReceipt(nil, store.Receipt{ID: id, Repeat: true})), `{"id":"17-3","deleted":true}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
