package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// model is a store that is too simple to be wrong: all messages are in a list.
type model struct {
	count    int
	messages []modelMessage
	lost     map[string]store.ID
	vague    bool
	nonces   map[modelNonce]store.ID
	deleted  map[store.ID]bool // or forgotten
	owners   map[store.ID]store.Owner
}

var modelOwners = []store.Owner{"", kim, lee}

// modelReader is a reader who was away since it had read up to an id.
type modelReader struct {
	*Reader

	at store.ID
}

// change makes a random change in a random message.
func (m *model) change(t *testing.T, s store.Store, random *rand.Rand) {
	if len(m.messages) == 0 {
		return
	}
	target := m.messages[random.IntN(len(m.messages))]
	by := modelOwners[random.IntN(len(modelOwners))]
	text := fmt.Sprint(random.IntN(10))
	data := store.Change{Kind: store.Edit, By: by, Data: "[" + text + "]", MaxText: maxText}
	both := data
	both.Text, both.HasText = text, true
	c := []store.Change{
		edit(by, text), data, both, add(by, text), add(by, text), react(by, text), unreact(by, text), remove(by),
	}[random.IntN(8)]
	c.Moderator = random.IntN(10) == 0
	want := c.Check(m.owners[target.id])
	receipt, err := s.Change(t.Context(), target.room, target.id, c)
	if !errors.Is(err, want) || err == nil && receipt.ID != target.id {
		t.Fatalf("%s of %v by %q, which is of %q, is answered %+v, %v, want %v", c.Kind, target.id, by, m.owners[target.id], receipt, err, want)
	}
	if err == nil && c.Kind == store.Delete {
		m.remove(target.id)
		m.deleted[target.id] = true
	}
}

type modelNonce struct {
	room  string
	owner store.Owner
	nonce string
}

type modelMessage struct {
	id   store.ID
	room string
}

func (m *model) append(room string, id store.ID, draft store.Draft) {
	m.messages = append(m.messages, modelMessage{id, room})
	if draft.Nonce != "" {
		m.nonces[modelNonce{room, draft.Owner, draft.Nonce}] = id
	}
	m.trim(room)
}

func (m *model) trim(room string) {
	kept := m.in(store.ID{}, newest, room)
	for len(kept) > m.count {
		m.lost[room] = kept[0]
		m.remove(kept[0])
		kept = kept[1:]
	}
}

// forget removes all messages of a room. After that a store may report more as lost,
// so lost is not compared any more.
func (m *model) forget(room string) {
	for _, id := range m.in(store.ID{}, newest, room) {
		m.remove(id)
	}
	for key, id := range m.nonces {
		if key.room == room {
			m.deleted[id] = true
		}
	}
	m.vague = true
}

func (m *model) remove(id store.ID) {
	m.messages = slices.DeleteFunc(m.messages, func(mm modelMessage) bool { return mm.id == id })
}

// in returns the ids in rooms that are newer than after and no newer than upTo.
func (m *model) in(after, upTo store.ID, rooms ...string) (found []store.ID) {
	for _, mm := range m.messages {
		if slices.Contains(rooms, mm.room) && mm.id.After(after) && !mm.id.After(upTo) {
			found = append(found, mm.id)
		}
	}
	return found
}

var newest = store.ID{Ms: 1 << 62}

// testModel compares a store with the model after random operations.
func testModel(t *testing.T, open Open) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			modelRun(t, open, nil, rand.New(rand.NewPCG(seed, 1)), 300)
		})
	}
}

// testModelReopened also closes and opens the store between operations.
func testModelReopened(t *testing.T, open Open, reopen Reopen) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			modelRun(t, open, reopen, rand.New(rand.NewPCG(seed, 2)), 300)
		})
	}
}

func modelRun(t *testing.T, open Open, reopen Reopen, random *rand.Rand, steps int) {
	limits := store.Limits{Count: 1 + random.IntN(20), Rooms: 100}
	s := open(t, new(Hub), limits)
	m := &model{count: limits.Count, lost: map[string]store.ID{}, nonces: map[modelNonce]store.ID{}, deleted: map[store.ID]bool{}, owners: map[store.ID]store.Owner{}}
	rooms := []string{"a", "b", "c", "방", "empty"}
	everSent := []store.ID{s.State().Origin}
	readers := make([]*modelReader, 4)
	for i := range readers {
		readers[i] = &modelReader{NewReader(), store.ID{}}
	}
	anyID := func() store.ID {
		id := everSent[random.IntN(len(everSent))]
		switch random.IntN(4) {
		case 0:
			return id.Prev()
		case 1:
			return id.Next()
		default:
			return id
		}
	}
	for range steps {
		room := rooms[random.IntN(4)]
		if reopen != nil && random.IntN(20) == 0 {
			s = reopen(t, s, new(Hub), limits)
		}
		switch random.IntN(20) {
		case 0, 1, 2, 3, 4:
			drafts := make([]store.Draft, 1+random.IntN(4))
			for i := range drafts {
				drafts[i] = Text("%d", random.Int())
				drafts[i].Owner = modelOwners[random.IntN(len(modelOwners))]
				if random.IntN(3) == 0 {
					drafts[i].Nonce = fmt.Sprint(random.IntN(15))
				}
			}
			receipts, err := s.Append(t.Context(), room, drafts)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range receipts {
				first, known := m.nonces[modelNonce{room, drafts[i].Owner, drafts[i].Nonce}]
				if r.Repeat != known || known && r.ID != first || (r.Message == nil) != m.deleted[r.ID] || r.Message != nil && r.Message.ID != r.ID {
					t.Fatalf("draft %+v is answered %+v; want %v, repeat %v, deleted %v", drafts[i], r, first, known, m.deleted[first])
				}
				if !known {
					everSent = append(everSent, r.ID)
					m.append(room, r.ID, drafts[i])
					m.owners[r.ID] = drafts[i].Owner
				}
				// who publishes has the message before it has read up to there
				if reader := readers[random.IntN(len(readers))]; r.Message != nil && random.IntN(4) == 0 {
					if err := reader.Take(r.Message); err != nil {
						t.Fatal(err)
					}
				}
			}
		case 5, 6:
			some := rooms[:1+random.IntN(len(rooms))]
			after, upTo, limit := anyID(), anyID(), random.IntN(12)
			page, err := s.After(t.Context(), store.Span{Rooms: some, After: after, UpTo: upTo}, limit)
			if err != nil {
				t.Fatal(err)
			}
			want := m.in(after, upTo, some...)
			if page.More != (len(want) > len(page.Messages)) || len(page.Messages) > limit || limit > 0 && len(want) > 0 && len(page.Messages) == 0 {
				t.Fatalf("After gives %d of %d messages, limit %d, more %v", len(page.Messages), len(want), limit, page.More)
			}
			equal(t, fmt.Sprintf("after %v up to %v in %v", after, upTo, some), ids(page.Messages), want[:len(page.Messages)])
			for i, r := range some {
				if page.Lost[i] != m.lost[r] && !m.vague {
					t.Fatalf("lost in %s: %v, want %v", r, page.Lost[i], m.lost[r])
				}
			}
		case 7, 8:
			before, limit := anyID(), random.IntN(12)
			page, err := s.Before(t.Context(), room, before, limit)
			if err != nil {
				t.Fatal(err)
			}
			want := m.in(store.ID{}, before.Prev(), room)
			if page.More != (len(want) > len(page.Messages)) || len(page.Messages) > limit || limit > 0 && len(want) > 0 && len(page.Messages) == 0 {
				t.Fatalf("Before gives %d of %d messages, limit %d, more %v", len(page.Messages), len(want), limit, page.More)
			}
			equal(t, fmt.Sprintf("before %v in %s", before, room), ids(page.Messages), want[len(want)-len(page.Messages):])
		case 9:
			some := rooms[:1+random.IntN(len(rooms))]
			upTo, n := anyID(), random.IntN(12)
			tail, err := s.Tail(t.Context(), some, upTo, n)
			if err != nil {
				t.Fatal(err)
			}
			have := m.in(store.ID{}, upTo, some...)
			equal(t, fmt.Sprintf("the newest %d up to %v in %v", n, upTo, some), m.in(tail.Start, upTo, some...), have[max(0, len(have)-n):])
			var ends [2]store.ID
			if len(have) > 0 {
				ends = [2]store.ID{have[0], have[len(have)-1]}
			}
			if got := [2]store.ID{tail.Oldest, tail.Newest}; got != ends {
				t.Fatalf("the ends of %v are %v, want %v", some, got, ends)
			}
		case 10:
			if len(m.messages) > 0 {
				id := m.messages[random.IntN(len(m.messages))].id
				if err := s.Delete(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				m.remove(id)
				m.deleted[id] = true
			}
		case 13, 14, 15, 16, 17:
			m.change(t, s, random)
		case 18, 19:
			r := readers[random.IntN(len(readers))]
			some := rooms[:1+random.IntN(len(rooms))]
			if random.IntN(3) > 0 {
				some = rooms
			}
			if len(some) < len(rooms) { // it would not know of the other rooms' changes
				r = &modelReader{NewReader(), store.ID{}}
			}
			_, r.at = r.Catch(t, s, r.at, 1+random.IntN(8), some...)
			r.Check(t, s, some...)
		case 11:
			if err := s.Forget(t.Context(), room); err != nil {
				t.Fatal(err)
			}
			m.forget(room)
		case 12:
			limits.Count = 1 + random.IntN(20)
			if reopen != nil {
				// messages that were only hidden may come back with a higher limit
				limits.Count = min(limits.Count, m.count)
			}
			s.Limit(limits)
			m.count = limits.Count
			for _, r := range rooms {
				m.trim(r)
			}
		}
	}
}
