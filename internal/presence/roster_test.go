package presence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestARosterHoldsWhatAMapHolds(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		var r roster[int]
		want := make(map[string]int)
		keys := 1 + random.IntN(400)
		for range 3000 {
			key := fmt.Sprint(random.IntN(keys))
			if _, there := want[key]; there && random.IntN(2) == 0 {
				r.remove(key)
				delete(want, key)
			} else {
				value, place := r.at(key)
				*value++
				want[key]++
				if r.list[place].key != key {
					t.Fatalf("seed %d: place %d has %q, want %q", seed, place, r.list[place].key, key)
				}
			}
			if r.len() != len(want) {
				t.Fatalf("seed %d: %d keys, want %d", seed, r.len(), len(want))
			}
		}
		for i := range keys {
			key := fmt.Sprint(i)
			got := r.get(key)
			if n, there := want[key]; there != (got != nil) || there && *got != n {
				t.Errorf("seed %d: %q has %v, want %d, %v", seed, key, got, n, there)
			}
		}
	}
}

// However many there are, an arrival touches one entry, and a departure two.
func TestARosterMovesNoMoreThanOneEntry(t *testing.T) {
	const crowd = 50_000
	var r roster[int]
	for i := range crowd {
		r.at(fmt.Sprint(i))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		before := slices.Clone(r.list)
		if i%2 == 0 {
			r.at(fmt.Sprint("new ", i))
		} else {
			r.remove(before[random.IntN(len(before))].key)
		}
		moved := 0
		for j := range min(len(before), len(r.list)) {
			if before[j].key != r.list[j].key {
				moved++
			}
		}
		if moved > 1 {
			t.Fatalf("step %d moves %d entries", i, moved)
		}
		if top := r.first(MaxNames); len(top) != MaxNames || &top[0] != &r.list[0] {
			t.Fatal("the first are not those of the roster itself")
		}
	}
}

func TestARosterGivesBackItsMemory(t *testing.T) {
	var r roster[int]
	for i := range 100_000 {
		r.at(fmt.Sprint(i))
	}
	for i := range 100_000 {
		if r.remove(fmt.Sprint(i)); i == 99_000 && cap(r.list) > 10_000 {
			t.Errorf("1,000 have a list of %d", cap(r.list))
		}
	}
	if cap(r.list) > 0 || r.place != nil {
		t.Errorf("an empty roster has a list of %d, and an index: %v", cap(r.list), r.place != nil)
	}
}
