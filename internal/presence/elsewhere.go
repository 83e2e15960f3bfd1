package presence

import (
	"iter"
	"maps"
	"slices"
)

// Elsewhere is who reads a room at other nodes; nil is nobody.
type Elsewhere struct {
	Summary
	Names  []string        // distinct, sorted, at most maxNames
	people map[string]bool // those who are known, and whether they have a name
}

func (e *Elsewhere) shown() []string {
	if e == nil {
		return nil
	}
	return e.Names
}

func (e *Elsewhere) equal(other *Elsewhere) bool {
	if e == nil || other == nil {
		return e == other
	}
	return e.Summary == other.Summary && slices.Equal(e.Names, other.Names) && maps.Equal(e.people, other.people)
}

// Add adds who reads at one more node. Of people whom it does not list, because
// they are too many, nobody knows whether they are counted already.
func (e *Elsewhere) Add(sum Summary, names []string, people iter.Seq2[string, bool]) {
	e.Count += sum.Count
	e.Unnamed += sum.Unnamed
	e.Names = append(e.Names, names...)
	for key, named := range people {
		if already, known := e.people[key]; known {
			e.merge(named, already)
			named = named || already
		}
		if e.people == nil {
			e.people = make(map[string]bool)
		}
		e.people[key] = named
	}
}

// Tidy sorts the names, once all are added.
func (e *Elsewhere) Tidy() {
	slices.Sort(e.Names)
	e.Names = slices.Compact(e.Names)
	e.Names = e.Names[:min(len(e.Names), MaxNames)]
}
