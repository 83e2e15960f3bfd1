//go:build linux

package bolt

import (
	"bytes"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func FuzzDecode(f *testing.F) {
	key := messageKey(1, store.ID{Ms: 1})
	whole := store.Post{
		Draft: store.Draft{
			Text: "text", Name: "name", Nonce: "nonce", Owner: "name:kim", Author: "12345678901",
			Event: "order", Data: "{}", ReplyTo: store.ID{Ms: 7, N: 2},
		},
		Revision: store.ID{Ms: 8}, Edited: 9,
		Reactions: []store.Reaction{{Kind: "👍", By: []store.Owner{"name:kim", "key:lee"}}, {Kind: "x", By: []store.Owner{"name:lee"}}},
	}
	f.Add(key, encodePost(&whole))
	f.Add(key, append(appendString(appendString(nil, "name"), "nonce"), "text of format 1"...))
	f.Add(appendID(nil, store.ID{Ms: 1}), appendString(nil, "room"))
	f.Add(appendID(nil, store.ID{Ms: 1}), encodeNonce("room", encodePost(&whole)))
	f.Add(appendID(nil, store.ID{Ms: 1}), append(nonceHead("mname:kim", "room"), "\x00\x05noncetext of format 1"...))
	f.Add(appendID(nil, store.ID{Ms: 1}), encodeGone(nonceKey{room: "room", nonce: "nonce"}))
	f.Add(appendID(nil, store.ID{Ms: 1}), encodeGone(nonceKey{"room", "name:kim", "nonce", store.ID{Ms: 2}}))
	f.Add(stateKey(1), (&roomRecord{lost: store.ID{Ms: 1}, count: 7, graves: 2, unknown: store.ID{Ms: 3}, erase: true}).encode())
	f.Add(logKey, (&logRecord{rooms: 1, erase: true}).encode())
	f.Add(revisionKey(1, store.ID{Ms: 1}), append([]byte{1}, appendID(nil, store.ID{Ms: 2})...))
	f.Add([]byte{}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, key, payload []byte) {
		_, _ = unseal(key, payload)
		value := seal(key, payload)
		if got, err := unseal(key, value); err != nil || string(got) != string(payload) {
			t.Fatalf("unseal = %x, %v, want %x", got, err, payload)
		}
		splitKey(key)
		_, _ = decodeNumber(key, value)
		if log, err := decodeLog(payload); err == nil {
			if again, err := decodeLog(log.encode()); err != nil || again != log {
				t.Fatalf("%+v came back as %+v, %v", log, again, err)
			}
		}
		if room, err := decodeRoom(payload); err == nil {
			if again, err := decodeRoom(room.encode()); err != nil || again != room {
				t.Fatalf("%+v came back as %+v, %v", room, again, err)
			}
		}
		if len(key) >= roomLen && isRevision(key, decodeKey(key)) {
			if r, err := decodeRevision(key, value); err == nil {
				again := revisionKey(decodeKey(key), r.At)
				if string(again) != string(key) || string(sealRevision(again, r)) != string(value) {
					t.Fatalf("%x: %x is written %x: %x", key, value, again, sealRevision(again, r))
				}
			}
		}
		checkNonce(t, key, value)
		post, err := decodePost(payload)
		if err != nil {
			return
		}
		if again, err := decodePost(encodePost(&post)); err != nil || !reflect.DeepEqual(again, post) {
			t.Fatalf("%+v came back as %+v, %v", post, again, err)
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
	payload := encodeNonce(r.room, encodePost(&r.post))
	if r.deleted || !r.changed.IsZero() {
		r.post = store.Post{Draft: store.Draft{Owner: r.post.Owner, Nonce: r.post.Nonce}}
		payload = encodeGone(r.key())
	}
	if again, err := decodeNonce(key, seal(key, payload)); err != nil || !reflect.DeepEqual(again, r) {
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
