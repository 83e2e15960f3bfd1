//go:build linux

package bolt

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func FuzzDecode(f *testing.F) {
	key := messageKey(1, store.ID{Ms: 1})
	f.Add(key, encodeDraft(store.Draft{Text: "text", Name: "name", Nonce: "nonce"}))
	f.Add(appendID(nil, store.ID{Ms: 1}), appendString(nil, "room"))
	f.Add(appendID(nil, store.ID{Ms: 1}), encodeNonce("room", "name:kim", encodeDraft(store.Draft{Text: "text", Nonce: "nonce"})))
	f.Add(appendID(nil, store.ID{Ms: 1}), encodeDeleted(nonceKey{"room", "", "nonce"}))
	f.Add(stateKey(1), (&roomRecord{store.ID{Ms: 1}, 7}).encode())
	f.Add(logKey, (&logRecord{rooms: 1}).encode())
	f.Add([]byte{}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, key, payload []byte) {
		_, _ = unseal(key, payload)
		value := seal(key, payload)
		if got, err := unseal(key, value); err != nil || string(got) != string(payload) {
			t.Fatalf("unseal = %x, %v, want %x", got, err, payload)
		}
		splitKey(key)
		_, _ = decodeNumber(key, value)
		if log, err := decodeLog(payload); err == nil && string(log.encode()) != string(payload) {
			t.Fatalf("%x is written %x", payload, log.encode())
		}
		if room, err := decodeRoom(payload); err == nil && string(room.encode()) != string(payload) {
			t.Fatalf("%x is written %x", payload, room.encode())
		}
		checkNonce(t, key, value)
		draft, err := decodeDraft(payload)
		if err != nil {
			return
		}
		if again, err := decodeDraft(encodeDraft(draft)); err != nil || again != draft {
			t.Fatalf("%+v came back as %+v, %v", draft, again, err)
		}
	})
}

// checkNonce checks that encoding a decoded nonce returns the same bytes.
func checkNonce(t *testing.T, key, value []byte) {
	r, err := decodeNonce(key, value)
	if err != nil {
		return
	}
	if len(key) != idLen {
		t.Fatalf("the key %x is taken", key)
	}
	payload := encodeNonce(r.room, r.draft.Owner, encodeDraft(r.draft))
	if r.deleted {
		r.draft = store.Draft{Owner: r.draft.Owner, Nonce: r.draft.Nonce}
		payload = encodeDeleted(r.key())
	}
	if again, err := decodeNonce(key, seal(key, payload)); r.room != "" && (err != nil || again != r) {
		t.Fatalf("%+v came back as %+v, %v", r, again, err)
	}
}

// Whatever a file contains, check returns and does not panic. bbolt can open a file
// that check accepts.
func FuzzCheck(f *testing.F) {
	content, _ := sample(f, filepath.Join(fastDir(f), "chat.db"), 40)
	f.Add(content)
	f.Add(content[:8192])
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _ = check(bytes.NewReader(content), int64(len(content)))
	})
}
