package idle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// ordered returns an order of rooms, the one idle longest first.
func ordered(rooms ...string) (*Order[string], map[string]*Place) {
	o, places := new(Order[string]), make(map[string]*Place)
	for _, room := range rooms {
		places[room] = o.Add(room)
	}
	return o, places
}

func TestTheRoomIdleLongestWithoutReadersGoes(t *testing.T) {
	for _, test := range []struct {
		name     string
		verdicts map[string]Verdict
		want     string // or empty
		after    []string
	}{
		{"nobody reads", nil, "a", []string{"a", "b", "c"}},
		{"a room with readers is put aside", map[string]Verdict{"a": Keep}, "b", []string{"b", "c", "a"}},
		{"a room that is skipped keeps its place", map[string]Verdict{"a": Skip}, "b", []string{"a", "b", "c"}},
		{"all have readers", map[string]Verdict{"a": Keep, "b": Keep, "c": Keep}, "", []string{"a", "b", "c"}},
		{"all are skipped", map[string]Verdict{"a": Skip, "b": Skip, "c": Skip}, "", []string{"a", "b", "c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, _ := ordered("a", "b", "c")
			got, found := o.Longest(func(room string) Verdict { return test.verdicts[room] })
			if got != test.want || found != (test.want != "") {
				t.Errorf("room %q goes, %t; want %q", got, found, test.want)
			}
			if after := slices.Collect(o.All()); !slices.Equal(after, test.after) {
				t.Errorf("the order is %v, want %v", after, test.after)
			}
		})
	}
}

func TestASearchIsBounded(t *testing.T) {
	o := new(Order[int])
	for i := range 10 * maxKept {
		o.Add(i)
	}
	asked := 0
	if room, found := o.Longest(func(int) Verdict { asked++; return Keep }); found || asked != maxKept {
		t.Errorf("room %d goes, %t, after %d questions; want none after %d", room, found, asked, maxKept)
	}
	// the next search goes on where that one gave up
	if room, found := o.Longest(func(int) Verdict { return Drop }); !found || room != maxKept {
		t.Errorf("room %d goes, %t; want %d", room, found, maxKept)
	}
}

func TestASearchFindsNoRoomTwice(t *testing.T) {
	o, _ := ordered("a", "b", "c")
	s := o.Search()
	for _, want := range []string{"a", "b", "c", ""} {
		if got, found := s.Next(func(string) Verdict { return Drop }); got != want || found != (want != "") {
			t.Errorf("the search finds %q, %t; want %q", got, found, want)
		}
	}
}

// The model is a plain slice, the room idle longest first.
func TestOrderEqualsANaiveModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	o, places := ordered()
	var model []string
	for step := range 5000 {
		name := fmt.Sprint(random.IntN(20))
		i := slices.Index(model, name)
		switch action := random.IntN(4); {
		case action == 0 && i >= 0:
			o.Remove(places[name])
			model = slices.Delete(model, i, i+1)
		case action < 3:
			if i < 0 {
				places[name] = o.Add(name)
			} else {
				o.Published(places[name])
				model = slices.Delete(model, i, i+1)
			}
			model = append(model, name)
		default:
			read := make(map[string]bool)
			for range random.IntN(25) {
				read[fmt.Sprint(random.IntN(20))] = true
			}
			got, found := o.Longest(func(room string) Verdict {
				if read[room] {
					return Keep
				}
				return Drop
			})
			i := slices.IndexFunc(model, func(room string) bool { return !read[room] })
			if found != (i >= 0) || found && got != model[i] {
				t.Fatalf("step %d: room %q goes, %t; the rooms are %v, and read are %v", step, got, found, model, read)
			}
			if i < 0 {
				i = len(model) // all were put aside, in their order
			}
			model = append(slices.Clone(model[i:]), model[:i]...)
		}
		if got := slices.Collect(o.All()); !slices.Equal(got, model) || o.Len() != len(model) {
			t.Fatalf("step %d: the order is %v, want %v", step, got, model)
		}
	}
}
