package merge

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func id(ms int64) store.ID { return store.ID{Ms: ms} }

// source is the ids that are left of a room.
type source struct{ left []store.ID }

func next(s *source) (store.ID, bool) {
	if len(s.left) == 0 {
		return store.ID{}, false
	}
	return s.left[0], true
}

func TestMergeOfGivenSources(t *testing.T) {
	for _, test := range []struct {
		name    string
		sources [][]store.ID
		want    []store.ID
	}{
		{"no source", nil, nil},
		{"empty sources", [][]store.ID{nil, nil}, nil},
		{"one source", [][]store.ID{{id(1), id(2)}}, []store.ID{id(1), id(2)}},
		{"one after the other", [][]store.ID{{id(3), id(4)}, {id(1), id(2)}}, []store.ID{id(1), id(2), id(3), id(4)}},
		{"in turn", [][]store.ID{{id(1), id(3)}, nil, {id(2), id(4)}}, []store.ID{id(1), id(2), id(3), id(4)}},
		{"within a millisecond", [][]store.ID{{{Ms: 1, N: 1}}, {{Ms: 1}, {Ms: 1, N: 2}}}, []store.ID{{Ms: 1}, {Ms: 1, N: 1}, {Ms: 1, N: 2}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := merged(test.sources, len(test.want), false); !slices.Equal(got, test.want) {
				t.Errorf("the order is %v, want %v", got, test.want)
			}
			for _, ids := range test.sources {
				slices.Reverse(ids)
			}
			slices.Reverse(test.want)
			if got := merged(test.sources, len(test.want), true); !slices.Equal(got, test.want) {
				t.Errorf("the opposite order is %v, want %v", got, test.want)
			}
		})
	}
}

// merged returns the first ids of all sources in order, at most limit.
func merged(ids [][]store.ID, limit int, newestFirst bool) (got []store.ID) {
	sources := make([]*source, len(ids))
	for i := range ids {
		sources[i] = &source{ids[i]}
	}
	order := Oldest(sources, next)
	if newestFirst {
		order = Newest(sources, next)
	}
	for i := range order {
		if len(got) == limit {
			break
		}
		s := sources[i]
		got, s.left = append(got, s.left[0]), s.left[1:]
	}
	return got
}

func TestMergeEqualsSorting(t *testing.T) {
	for round := range 500 {
		random := rand.New(rand.NewPCG(1, uint64(round)))
		sources := make([][]store.ID, random.IntN(6))
		var all []store.ID
		for n := range 40 {
			if len(sources) > 0 {
				i := random.IntN(len(sources))
				sources[i] = append(sources[i], store.ID{Ms: int64(n / 3), N: uint64(n % 3)})
				all = append(all, sources[i][len(sources[i])-1])
			}
		}
		newestFirst := round%2 == 1
		if newestFirst {
			for _, ids := range append(sources, all) {
				slices.Reverse(ids)
			}
		}
		limit := random.IntN(len(all) + 2)
		want := all[:min(limit, len(all))]
		if got := merged(sources, limit, newestFirst); !slices.Equal(got, want) {
			t.Fatalf("round %d, newest first: %t: the first %d ids are %v, want %v", round, newestFirst, limit, got, want)
		}
	}
}
