package bolt

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// Changes of all kinds in one transaction have the same result as in one transaction
// each. Deletions of long messages empty whole pages.
func TestManyChangesInOneTransaction(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			path := filepath.Join(fastDir(t), "chat.db")
			limits := store.Limits{Count: 20, Rooms: 3 + 2*int(seed%2)} // of five
			s := openAt(t, path, new(storetest.Hub), limits)
			rooms := make(map[string][]store.ID)
			texts := make(map[store.ID]string)
			for range 30 {
				if random.IntN(5) == 0 {
					// a cut that is still to be made
					limits.Count = 10 + random.IntN(20)
					s.Limit(limits)
					for name, ids := range rooms {
						rooms[name] = ids[max(0, len(ids)-limits.Count):]
					}
				}
				err := s.submit(t.Context(), cost{}, func(tx *transaction) error {
					publishes := random.IntN(2) == 0 // mostly
					for range 1 + random.IntN(40) {
						if err := oneOf(tx, random, publishes, names, rooms, texts); err != nil {
							return err
						}
						for name := range rooms {
							if _, ok, err := numberOf(tx.rooms, name); err != nil {
								return err
							} else if !ok {
								delete(rooms, name) // it has made room for another
							}
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				checkRooms(t, s, names, rooms, texts)
			}
		})
	}
}

// oneOf makes a random change in a transaction, and in what the rooms should have.
func oneOf(tx *transaction, random *rand.Rand, publishes bool, names []string, rooms map[string][]store.ID, texts map[store.ID]string) error {
	name := names[random.IntN(len(names))]
	ids := rooms[name]
	text := strings.Repeat(fmt.Sprint(random.IntN(10)), 1+random.IntN(2)*5000)
	if len(ids) == 0 || (random.IntN(10) > 0) == publishes {
		receipts, err := tx.append(name, []store.Draft{{Text: text, Owner: kim}})
		if errors.Is(err, store.ErrTooManyRooms) {
			return nil // this transaction has published to all rooms
		}
		if err != nil {
			return err
		}
		ids = append(slices.Clone(ids), receipts[0].ID)
		texts[receipts[0].ID] = text
		rooms[name] = ids[max(0, len(ids)-tx.limits.Count):]
		return nil
	}
	i := len(ids) - 1 // mostly the newest
	if random.IntN(3) == 0 {
		i = random.IntN(len(ids))
	}
	c := store.Change{Kind: store.Edit, By: kim, Text: text, HasText: true, MaxText: 1 << 20}
	switch random.IntN(20) {
	case 0:
		delete(rooms, name)
		rooms[name] = nil
		return tx.forget(name)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12:
		c.Kind = store.Delete
		rooms[name] = slices.Delete(slices.Clone(ids), i, i+1)
	default:
		texts[ids[i]] = text
	}
	_, err := tx.change(name, ids[i], c)
	return err
}

func checkRooms(t *testing.T, s *Store, names []string, rooms map[string][]store.ID, texts map[store.ID]string) {
	t.Helper()
	counts := make(map[string]int)
	for _, name := range names {
		page, err := s.After(t.Context(), store.Span{Rooms: []string{name}, UpTo: s.State().Latest}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		var found []store.ID
		for _, m := range page.Messages {
			found = append(found, m.ID)
			if m.Post().Text != texts[m.ID] {
				t.Fatalf("%v of %s has a text of %d bytes, want %d", m.ID, name, len(m.Post().Text), len(texts[m.ID]))
			}
		}
		if !slices.Equal(found, rooms[name]) {
			t.Fatalf("%s has %v, want %v", name, found, rooms[name])
		}
		if len(found) > 0 {
			counts[name] = len(found)
		}
		// all changes can be told: the revisions are those of the messages
		if _, err := s.After(t.Context(), store.Span{Rooms: []string{name}, After: s.State().Origin, UpTo: s.State().Latest, Changes: true}, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Rooms(t.Context()); err != nil || !maps.Equal(got, counts) {
		t.Fatalf("the rooms are %v, %v, want %v", got, err, counts)
	}
}
