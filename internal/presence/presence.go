// Package presence counts who is in a room, on this node and on others. It has no
// clock and no locks: callers pass the time in ticks and guard the values.
package presence

import (
	"iter"
	"slices"
)

const (
	// LeaveAfter is how long a departed reader is still counted, so that one that
	// reconnects at once causes no change.
	LeaveAfter = 50 // ticks
	// MaxNames is how many of a room's names are shown, and how many of its people
	// nodes identify to each other.
	MaxNames = 100
)

// Identity is what distinguishes people.
type Identity struct {
	Name string // shown to others; "" if none
	// Person is the same for all streams of a person. It is "" for a stream that
	// counts as a person by itself.
	Person string
}

// Nobody is the identity of streams that have none.
var Nobody Identity

// Shared returns a copy of the identity, which must not be changed. Streams that
// have none share one copy.
func (i Identity) Shared() *Identity {
	if i == Nobody {
		return &Nobody
	}
	return &i
}

// PersonByName returns the Person of a name that the configuration gives. No client
// can choose it, because no author tag begins like it.
func PersonByName(name string) string { return "=" + name }

// Presence is who reads a room: on this node, those who left a moment ago included,
// and on other nodes. The zero value is an empty room. The caller guards it.
//
// Clients choose names and tags, so each arrival and departure takes constant time,
// and what is shown is at most [MaxNames] of them.
type Presence struct {
	people    roster[person]
	names     roster[int] // number of streams per name
	singles   int         // streams that count as a person by themselves
	unnamed   int         // people without a name, singles included
	leavers   leavers
	elsewhere *Elsewhere // readers on other nodes; nil if none

	// Version changes whenever what is shown changes. NamesVersion is the version
	// at the last change of the names.
	Version, NamesVersion uint64
}

// person is a person whose streams are recognized.
type person struct {
	streams int // open streams, or 1 while there is a leaver
	named   int // how many of these have a name
	leaver  *leaver
}

// Arrive adds a stream when it begins. A stream replaces a departed one of the same
// person or name that is still counted.
func (p *Presence) Arrive(who Identity) {
	defer p.noteChange(p.Summary())
	p.count(who)
	if who.Person != "" {
		known := p.people.get(who.Person)
		if l := known.leaver; l != nil {
			known.leaver, l.replaced = nil, true
			p.uncount(l.who)
			return
		}
		if known.streams > 1 {
			return
		}
	}
	// a leaver with the same name, or without one like this stream, is taken to be
	// back
	if l := p.leavers.take(who.Name); l != nil {
		p.uncount(l.who)
	}
}

// Leave records that a stream has ended. It reports whether the stream is still
// counted, so that ExpireLeavers has to be called after [LeaveAfter].
func (p *Presence) Leave(who Identity, now int64) (pending bool) {
	defer p.noteChange(p.Summary())
	var known *person
	if who.Person != "" {
		if known = p.people.get(who.Person); known.streams > 1 {
			p.uncount(who)
			return false
		}
	}
	l := p.leavers.add(who, now)
	if known != nil {
		known.leaver = l
	}
	return true
}

// ExpireLeavers stops counting streams that left at least [LeaveAfter] ago and were
// not replaced.
func (p *Presence) ExpireLeavers(now int64) {
	defer p.noteChange(p.Summary())
	for {
		l := p.leavers.shift(now - LeaveAfter)
		if l == nil {
			return
		}
		if !l.replaced {
			p.uncount(l.who)
		}
	}
}

// count adds a stream to the counts, uncount removes it.
func (p *Presence) count(who Identity) {
	if who.Name != "" {
		held, place := p.names.at(who.Name)
		if *held++; *held == 1 && place < MaxNames {
			p.namesChanged()
		}
	}
	if who.Person == "" {
		p.singles++
		if who.Name == "" {
			p.unnamed++
		}
		return
	}
	known, _ := p.people.at(who.Person)
	p.unnamed -= known.unnamed()
	known.streams++
	if who.Name != "" {
		known.named++
	}
	p.unnamed += known.unnamed()
}

func (p *Presence) uncount(who Identity) {
	if who.Name != "" {
		held := p.names.get(who.Name)
		if *held--; *held == 0 && p.names.remove(who.Name) < MaxNames {
			p.namesChanged()
		}
	}
	if who.Person == "" {
		p.singles--
		if who.Name == "" {
			p.unnamed--
		}
		return
	}
	known := p.people.get(who.Person)
	p.unnamed -= known.unnamed()
	known.streams--
	if who.Name != "" {
		known.named--
	}
	p.unnamed += known.unnamed()
	if known.streams == 0 {
		p.people.remove(who.Person)
	}
}

// unnamed returns 1 for a person that has streams but no name, otherwise 0.
func (p *person) unnamed() int {
	if p.streams > 0 && p.named == 0 {
		return 1
	}
	return 0
}

// Summary is how many people there are, and how many of them have no name.
type Summary struct {
	Count   int // people, those without a name included
	Unnamed int
}

// Summary returns the summary of this node.
func (p *Presence) Summary() Summary { return Summary{p.people.len() + p.singles, p.unnamed} }

// noteChange changes the version if the summary differs from before.
func (p *Presence) noteChange(before Summary) {
	if p.Summary() != before {
		p.Version++
	}
}

func (p *Presence) namesChanged() {
	p.Version++
	p.NamesVersion = p.Version
}

// SetElsewhere sets who reads the room on other nodes; nil is nobody. It must not
// be changed afterwards.
func (p *Presence) SetElsewhere(others *Elsewhere) {
	before := p.elsewhere
	p.elsewhere = others
	if !slices.Equal(others.shown(), before.shown()) {
		p.namesChanged()
	}
	if !others.equal(before) {
		p.Version++
	}
}

// Total returns the summary of all nodes. A person that is known to read on several
// is counted once.
func (p *Presence) Total() Summary {
	sum := p.Summary()
	if p.elsewhere == nil {
		return sum
	}
	sum.Count += p.elsewhere.Count
	sum.Unnamed += p.elsewhere.Unnamed
	for key, named := range p.elsewhere.people {
		if here := p.people.get(key); here != nil {
			sum.merge(named, here.named > 0)
		}
	}
	return sum
}

// merge corrects the summary for a person that was counted twice. The arguments say
// whether each count had a name.
func (s *Summary) merge(named, namedToo bool) {
	s.Count--
	if !named || !namedToo {
		s.Unnamed--
	}
}

// LocalNames returns the names of this node that are shown, sorted, at most
// [MaxNames].
func (p *Presence) LocalNames() []string {
	shown := p.names.first(MaxNames)
	names := make([]string, len(shown))
	for i := range shown {
		names[i] = shown[i].key
	}
	slices.Sort(names)
	return names
}

// AllNames returns the names of all nodes that are shown, sorted, at most
// [MaxNames]. If there are more, those of this node take precedence.
func (p *Presence) AllNames() []string {
	names := p.LocalNames()
	here := len(names)
	for _, name := range p.elsewhere.shown() {
		if len(names) == MaxNames {
			break
		}
		if _, known := slices.BinarySearch(names[:here], name); !known {
			names = append(names, name)
		}
	}
	if len(names) > here {
		slices.Sort(names)
	}
	return names
}

// MoreNamesThan reports whether more than n names are shown. n is less than
// [MaxNames].
func (p *Presence) MoreNamesThan(n int) bool {
	switch here := p.names.len(); {
	case here > n:
		return true
	case here+len(p.elsewhere.shown()) <= n:
		return false
	default:
		return len(p.AllNames()) > n
	}
}

// Known returns the people of this node that other nodes can recognize, at most
// [MaxNames], and whether they have a name.
func (p *Presence) Known() iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for _, e := range p.people.first(MaxNames) {
			if !yield(e.key, e.value.named > 0) {
				return
			}
		}
	}
}
