package revisions

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func id(ms int64) store.ID { return store.ID{Ms: ms} }

// A list behaves as a naive model: all revisions there ever were, of which the last of
// each message counts.
func TestListAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		var l List
		var model []Revision
		now := int64(1000)
		for range 300 {
			now++
			message := id(1 + random.Int64N(200))
			was := store.ID{}
			for _, r := range model {
				if r.ID == message && r.Kind == Changed {
					was = r.At
				}
			}
			switch random.IntN(12) {
			case 0: // retention
				lost := id(random.Int64N(100))
				l.Expire(lost)
				model = slices.DeleteFunc(model, func(r Revision) bool { return r.Kind != Forgotten && !r.ID.After(lost) })
			case 1:
				if !was.IsZero() {
					l.Remove(was)
					model = slices.DeleteFunc(model, func(r Revision) bool { return r.At == was })
				}
			case 2:
				if random.IntN(5) == 0 {
					l.Forget(id(now), message)
					model = slices.DeleteFunc(model, func(r Revision) bool { return !r.ID.After(message) })
					model = append(model, Revision{id(now), message, Forgotten})
				}
			default:
				if slices.ContainsFunc(model, func(r Revision) bool { return r.ID == message && r.Kind != Changed }) {
					continue // it is gone
				}
				kind := []Kind{Changed, Changed, Deleted}[random.IntN(3)]
				l.Change(was, Revision{id(now), message, kind})
				model = slices.DeleteFunc(model, func(r Revision) bool { return r.At == was })
				model = append(model, Revision{id(now), message, kind})
			}
			after := id(1000 + random.Int64N(now-999))
			want := slices.DeleteFunc(slices.Clone(model), func(r Revision) bool { return !r.At.After(after) })
			if got := l.After(after); !slices.Equal(got, want) {
				t.Fatalf("after %v come %v, want %v", after, got, want)
			}
			if l.Len() != len(model) || len(model) > 0 && l.Newest() != model[len(model)-1].At {
				t.Fatalf("%d revisions up to %v, want %d", l.Len(), l.Newest(), len(model))
			}
		}
	}
}

func TestDeletedMessagesAreBounded(t *testing.T) {
	const count = 2 * leastKept
	var l List
	for i := range int64(3 * count) {
		l.Change(store.ID{}, Revision{id(10_000 + i), id(1 + i), Deleted})
		l.Limit(count, store.ID{})
	}
	l.Change(store.ID{}, Revision{id(20_000), id(9000), Changed})
	if l.Len() != count+1 || l.Unknown() != id(10_000+2*count-1) {
		t.Errorf("%d are kept, and unknown up to %v", l.Len(), l.Unknown())
	}
	// what is left may be older than what is not known any more
	var older List
	older.Change(store.ID{}, Revision{id(10_000), id(9000), Changed})
	for i := range int64(count + 1) {
		older.Change(store.ID{}, Revision{id(10_001 + i), id(1 + i), Deleted})
	}
	older.Limit(count, store.ID{})
	older.Expire(id(8999))
	if older.Len() != 1 || older.Newest() != id(10_001) {
		t.Errorf("%d are kept, the newest is %v", older.Len(), older.Newest())
	}
	// those that retention would have removed go first, and nobody has to know of them
	var other List
	for i := range int64(count + 1) {
		other.Change(store.ID{}, Revision{id(10_000 + i), id(1 + i), Deleted})
	}
	other.Limit(count, id(50))
	if other.Len() != count+1-50 || !other.Unknown().IsZero() {
		t.Errorf("%d are kept, and unknown up to %v", other.Len(), other.Unknown())
	}
}
