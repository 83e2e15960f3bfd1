package presence

import (
	"iter"
	"maps"
	"slices"
)

// Elsewhere is who reads a room on other nodes; nil is nobody.
type Elsewhere struct {
	Summary
	Names  []string        // distinct, sorted and at most MaxNames after Tidy
	people map[string]bool // known people, and whether they have a name
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

// Add adds the readers of one more node. A person that a node does not list,
// because it has too many, may be counted twice.
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

// Tidy sorts the names and removes duplicates. It must be called once, after the
// last Add.
func (e *Elsewhere) Tidy() {
	slices.Sort(e.Names)
	e.Names = slices.Compact(e.Names)
	e.Names = e.Names[:min(len(e.Names), MaxNames)]
}
