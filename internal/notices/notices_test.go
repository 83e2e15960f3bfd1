package notices

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// log is a room of three messages and its ring.
type log struct {
	t    *testing.T
	ring Ring
	now  map[store.ID]*store.Message
	last store.ID
}

const kim = store.Owner("name:kim")

func newLog(t *testing.T) *log {
	t.Helper()
	l := &log{t: t, now: make(map[store.ID]*store.Message)}
	for range 3 {
		l.last.Ms++
		l.now[l.last] = store.NewMessage(l.last, "r", store.Draft{Text: "-", Owner: kim})
	}
	l.ring.Lack(l.last)
	return l
}

// change makes a change in a message, if it is still there.
func (l *log) change(id store.ID, c store.Change) {
	l.t.Helper()
	m := l.now[id]
	if m == nil {
		return
	}
	l.last.Ms++
	if c.Kind == store.Delete {
		delete(l.now, id)
		l.ring.Push(store.NewDeletion(l.last, "r", id), nil)
		return
	}
	c.By, c.MaxText = kim, 1<<20
	post := m.Post()
	if _, err := c.Apply(&post, l.last); err != nil {
		l.t.Fatal(err)
	}
	l.now[id] = store.NewPost(id, "r", post)
	l.ring.Push(store.NewDelta(id, "r", &c, &post), l.now[id])
}

// reader applies notices to the messages that it has read, as clients do.
type reader struct {
	cursor store.ID
	texts  map[store.ID]string
}

func readerOf(l *log) *reader {
	r := &reader{cursor: l.last, texts: make(map[store.ID]string)}
	for id, m := range l.now {
		r.texts[id] = m.Post().Text
	}
	return r
}

func (r *reader) apply(t *testing.T, notice *store.Message) {
	t.Helper()
	var change struct {
		Text, Append *string
		At           int
	}
	if err := json.Unmarshal(notice.JSON(), &change); err != nil {
		t.Fatal(err)
	}
	text, known := r.texts[notice.About()]
	switch {
	case change.Text == nil && change.Append == nil:
		delete(r.texts, notice.About())
	case !known: // it was deleted
	case change.Text != nil:
		r.texts[notice.About()] = *change.Text
	case change.Append != nil:
		if len(text) < change.At {
			t.Fatalf("%s is about more than %q", notice.JSON(), text)
		}
		r.texts[notice.About()] = text[:change.At] + *change.Append
	}
	r.cursor = notice.ID
}

// Readers that come back now and then, to a ring that drops old notices, have what is there
// now, or are told to ask the store.
func TestReadersLearnWhatHasChanged(t *testing.T) {
	missed := 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		l := newLog(t)
		readers := []*reader{readerOf(l), readerOf(l), readerOf(l)}
		for step := range 60 {
			id := store.ID{Ms: 1 + random.Int64N(3)}
			switch kind := random.IntN(20); {
			case kind < 9:
				l.change(id, store.Change{Kind: store.Append, Text: fmt.Sprint(step, " ")})
			case kind < 13:
				l.change(id, store.Change{Kind: store.Edit, Text: fmt.Sprint("new ", step), HasText: true})
			case kind == 13:
				l.change(id, store.Change{Kind: store.Delete})
			case kind == 14:
				l.ring.Shorten(random.IntN(8), 1<<20)
			default:
				r := readers[random.IntN(len(readers))]
				if got := l.ring.MayHaveChanged(r.cursor); !got && len(r.differs(l)) > 0 {
					t.Fatalf("seed %d: nothing has changed since %v, but the reader has %v", seed, r.cursor, r.texts)
				}
				list, ok := l.ring.After(nil, r.cursor, l.last, store.ID{}, 1<<20)
				if !ok {
					missed++
					*r = *readerOf(l)
					continue
				}
				for _, notice := range list {
					r.apply(t, notice)
				}
				if diff := r.differs(l); diff != "" {
					t.Fatalf("seed %d, step %d: %s", seed, step, diff)
				}
			}
		}
		l.ring.Clear()
		if l.ring.Size() != 0 {
			t.Fatalf("seed %d: an empty ring has %d bytes", seed, l.ring.Size())
		}
	}
	if missed == 0 {
		t.Error("no reader has fallen behind the ring")
	}
}

// differs returns how what a reader has differs from what is there, or nothing.
func (r *reader) differs(l *log) string {
	want := make(map[store.ID]string)
	for id, m := range l.now {
		want[id] = m.Post().Text
	}
	if maps.Equal(r.texts, want) {
		return ""
	}
	return fmt.Sprintf("the reader has %q, want %q", r.texts, want)
}

// A notice that has superseded one that is in doubt is whole, also after what was left out
// for it was passed: a reader may be cut off, or have a full batch, just before it.
func TestWholeAfterWhatItReplaces(t *testing.T) {
	l := newLog(t)
	id := store.ID{Ms: 1}
	l.change(id, store.Change{Kind: store.React, Text: "👍"})
	l.change(id, store.Change{Kind: store.Append, Text: "superseded"})
	whole := l.last
	l.change(store.ID{Ms: 2}, store.Change{Kind: store.Append, Text: "another"})
	passed := l.last
	l.change(id, store.Change{Kind: store.Edit, Text: "new", HasText: true})
	got, ok := l.ring.After(nil, passed, l.last, whole, 1<<20)
	if !ok || len(got) != 1 || got[0].Whole() == nil {
		t.Errorf("got %v (%t), want the whole message, which has the reaction", got, ok)
	}
}
