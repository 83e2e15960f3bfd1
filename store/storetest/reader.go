package storetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Reader is a client that shows messages and applies notices to them, as the contract
// says, whatever entries it is given.
type Reader struct {
	// Shown is the messages that it shows.
	Shown map[store.ID]Shown
	rooms map[store.ID]string
}

// Shown is what a client shows of a message.
type Shown struct {
	Text, Data, Reactions string
	Edited                int64
}

// NewReader returns a reader that shows nothing.
func NewReader() *Reader {
	return &Reader{make(map[store.ID]Shown), make(map[store.ID]string)}
}

// Clone returns a copy.
func (r *Reader) Clone() *Reader { return &Reader{maps.Clone(r.Shown), maps.Clone(r.rooms)} }

// fields are those of messages and notices that change what is shown.
type fields struct {
	ID, Room  string
	Through   string
	Text      *string
	Append    *string
	At        int
	Data      json.RawMessage
	Edited    int64
	Reactions json.RawMessage
}

// Take applies an entry of the log.
func (r *Reader) Take(m *store.Message) error { return r.Apply(m.JSON(), m.IsNotice()) }

// Apply applies the data of a message or of a notice.
func (r *Reader) Apply(data []byte, notice bool) error {
	var f fields
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("%s: %w", data, err)
	}
	room := cmp.Or(f.Room, store.Lobby)
	if f.Through != "" {
		through, err := store.ParseID(f.Through)
		maps.DeleteFunc(r.Shown, func(id store.ID, _ Shown) bool { return r.rooms[id] == room && !id.After(through) })
		return err
	}
	id, err := store.ParseID(f.ID)
	if err != nil {
		return err
	}
	if !notice {
		r.rooms[id] = room
		r.Shown[id] = Shown{*f.Text, string(f.Data), reactionsOf(f.Reactions), f.Edited}
		return nil
	}
	shown, known := r.Shown[id]
	if f.Text == nil && f.Append == nil && f.Data == nil && f.Reactions == nil {
		delete(r.Shown, id)
		return nil
	}
	if !known {
		return nil
	}
	if f.Text != nil {
		shown.Text = *f.Text
	}
	if f.Append != nil {
		units := utf16.Encode([]rune(shown.Text))
		if f.At > len(units) {
			return fmt.Errorf("%s: the text has only %d units", data, len(units))
		}
		shown.Text = string(utf16.Decode(units[:f.At])) + *f.Append
	}
	if f.Data != nil {
		shown.Data = string(f.Data)
	}
	if f.Reactions != nil {
		shown.Reactions = reactionsOf(f.Reactions)
	}
	if f.Edited != 0 {
		shown.Edited = f.Edited
	}
	r.Shown[id] = shown
	return nil
}

func reactionsOf(raw json.RawMessage) string {
	if string(raw) == "{}" {
		return ""
	}
	return string(raw)
}

// Catch reads all entries of rooms after an id, page by page, and takes them. If some were
// lost, it begins anew. It returns the number of notices, and the id up to which it has
// read.
func (r *Reader) Catch(t testing.TB, s store.Store, after store.ID, limit int, rooms ...string) (notices int, upTo store.ID) {
	t.Helper()
	span := store.Span{Rooms: rooms, After: after, UpTo: s.State().Latest, Changes: true}
	last := after
	for {
		page, err := s.After(t.Context(), span, limit)
		if err != nil {
			t.Fatalf("After: %v", err)
		}
		for _, lost := range page.Lost {
			if lost.After(span.After) && !after.IsZero() {
				*r = *NewReader()
				return r.Catch(t, s, store.ID{}, limit, rooms...)
			}
		}
		for _, m := range page.Messages {
			if !m.ID.After(last) || m.ID.After(span.UpTo) {
				t.Fatalf("entry %v comes after %v, up to %v", m.ID, last, span.UpTo)
			}
			last = m.ID
			if m.IsNotice() {
				notices++
			}
			if err := r.Take(m); err != nil {
				t.Fatal(err)
			}
		}
		if !page.More {
			return notices, span.UpTo
		}
		span.After = last
	}
}

// Check compares what is shown with what the store has of rooms. Messages that the store
// has lost may still be shown.
func (r *Reader) Check(t testing.TB, s store.Store, rooms ...string) {
	t.Helper()
	now := NewReader()
	var lost []store.ID
	span := store.Span{Rooms: rooms, UpTo: s.State().Latest}
	for {
		page, err := s.After(t.Context(), span, 100)
		if err != nil {
			t.Fatalf("After: %v", err)
		}
		for _, m := range page.Messages {
			if err := now.Take(m); err != nil {
				t.Fatal(err)
			}
			span.After = m.ID
		}
		if lost = page.Lost; !page.More {
			break
		}
	}
	for id, shown := range now.Shown {
		if got, ok := r.Shown[id]; !ok || got != shown {
			t.Errorf("%v is shown as %+v (%t), and is %+v", id, got, ok, shown)
		}
	}
	for id := range r.Shown {
		i := slices.Index(rooms, r.rooms[id])
		if _, ok := now.Shown[id]; !ok && i >= 0 && id.After(lost[i]) {
			t.Errorf("%v of %s is shown, and is gone", id, r.rooms[id])
		}
	}
}
