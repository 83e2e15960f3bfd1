package hub

import (
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func TestClassify(t *testing.T) {
	log := store.State{Origin: store.ID{Ms: 100}, Latest: store.ID{Ms: 200, N: 5}}
	durable := log
	durable.Durable = true
	for _, test := range []struct {
		name, id string
		log      store.State
		want     store.ID
		gap      gapReason
	}{
		{"an id of the log", "150", log, store.ID{Ms: 150}, gapNone},
		{"the origin itself", "100", log, store.ID{Ms: 100}, gapNone},
		{"the newest", "200-5", log, store.ID{Ms: 200, N: 5}, gapNone},
		{"one from before a restart", "99-7", log, store.ID{}, gapUnknown},
		{"one from the future", "200-6", log, store.ID{}, gapUnknown},
		{"one from the future of a durable log", "200-6", durable, store.ID{}, gapRollback},
		{"one of another system", "e7k2-00001042", log, store.ID{}, gapUnknown},
		{"one too large", "99999999999999999999", durable, store.ID{}, gapUnknown},
		{"an attempt at injection", "1\nid: 5", log, store.ID{}, gapUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			if id, gap := classify(test.id, test.log); id != test.want || gap != test.gap {
				t.Errorf("classify(%q) = %v, %q; want %v, %q", test.id, id, gap, test.want, test.gap)
			}
		})
	}
}

func TestHasUnreportedLoss(t *testing.T) {
	id := func(ms int64) store.ID { return store.ID{Ms: ms} }
	ids := func(ms ...int64) (list []store.ID) {
		for _, m := range ms {
			list = append(list, id(m))
		}
		return list
	}
	for _, test := range []struct {
		name      string
		cursor    int64
		seenState []store.ID
		lost      []store.ID
		want      bool
	}{
		{"nothing lost", 5, nil, ids(0, 0), false},
		{"lost what was read", 5, nil, ids(5, 3), false},
		{"lost what follows", 5, nil, ids(0, 6), true},
		{"told already", 5, ids(0, 6), ids(0, 6), false},
		{"lost more since told", 5, ids(0, 6), ids(0, 7), true},
		{"lost more in another room", 5, ids(0, 9), ids(7, 9), true},
		{"told and passed", 8, ids(0, 6), ids(0, 7), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := hasUnreportedLoss(id(test.cursor), test.seenState, test.lost); got != test.want {
				t.Errorf("misses(%d, %v, %v) = %v", test.cursor, test.seenState, test.lost, got)
			}
		})
	}
}
