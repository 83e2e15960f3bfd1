// Package presence counts who is in a room, on this node and on others. It knows
// neither clocks nor locks: ticks come in as values, and who uses it guards it.
package presence

import (
	"iter"
	"slices"
)

const (
	// LeaveAfter is how long a departed reader is still counted, so that one
	// who comes straight back is no change.
	LeaveAfter = 50 // ticks
	// MaxNames is how many names of a room are told, and of how many people
	// nodes tell each other who they are.
	MaxNames = 100
)

// Identity is what tells people apart.
type Identity struct {
	Name string // that others see, or empty
	// Person is the same for all streams of one person. It is empty for a
	// stream that counts as a person by itself.
	Person string
}

// Nobody is the identity of most streams.
var Nobody Identity

// Shared returns a copy of the identity, which must not change: streams that
// have none have one together.
func (i Identity) Shared() *Identity {
	if i == Nobody {
		return &Nobody
	}
	return &i
}

// PersonByName is the person that the configuration gives a name to. No tag of
// an author begins like this.
func PersonByName(name string) string { return "=" + name }

// Presence is who reads a room at this node, or did a moment ago, and who does
// elsewhere. It knows no clock: ticks come in as values. The room's seatMu
// guards it.
//
// Names and tags are chosen by clients, so each arrival and departure takes
// constant time, and what is told looks at no more than [MaxNames] of them.
type Presence struct {
	people    roster[person]
	names     roster[int] // by how many streams each is held
	singles   int         // streams that are a person by themselves
	unnamed   int         // people without a name
	leavers   leavers
	elsewhere *Elsewhere // nil if nobody does

	// Version changes with what there is to tell, namesVersion is the version
	// in which the names last did.
	Version, NamesVersion uint64
}

// person is somebody whose streams are recognised.
type person struct {
	streams int // open ones, or 1 while there is a leaver
	named   int // how many of these have a name
	leaver  *leaver
}

// Arrive is called when a stream begins.
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
	// whoever left under the same name, or without one as this one is, did not
	if l := p.leavers.take(who.Name); l != nil {
		p.uncount(l.who)
	}
}

// Leave is called when a stream ends. It reports whether a call of depart is
// needed after a while, because the stream still counts.
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

// Depart takes out whoever left at least leaveAfter ago and was not replaced.
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

// enter counts a stream, exit takes it out again.
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

// unnamed is 1 for a person who is there without a name, else 0.
func (p *person) unnamed() int {
	if p.streams > 0 && p.named == 0 {
		return 1
	}
	return 0
}

// Summary is what is told of people at this node beside their names.
type Summary struct{ Count, Unnamed int }

func (p *Presence) Summary() Summary { return Summary{p.people.len() + p.singles, p.unnamed} }

func (p *Presence) noteChange(before Summary) {
	if p.Summary() != before {
		p.Version++
	}
}

func (p *Presence) namesChanged() {
	p.Version++
	p.NamesVersion = p.Version
}

// SetOthers sets who reads the room at other nodes; nil is nobody.
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

// Total is the summary of all nodes. Who is known to read at several of them is
// one.
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

// merge makes one of a person who was counted twice, and says for both whether
// they have a name.
func (s *Summary) merge(named, namedToo bool) {
	s.Count--
	if !named || !namedToo {
		s.Unnamed--
	}
}

// LocalNames returns the names that this node shows, sorted.
func (p *Presence) LocalNames() []string {
	shown := p.names.first(MaxNames)
	names := make([]string, len(shown))
	for i := range shown {
		names[i] = shown[i].key
	}
	slices.Sort(names)
	return names
}

// AllNames returns the names that are told, sorted: those of this node first,
// and then as many of others as there is room for.
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

// MoreNamesThan reports whether there are more than n names to tell.
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

// Known returns people whom another node can recognise, at most [MaxNames], and
// whether they have a name.
func (p *Presence) Known() iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for _, e := range p.people.first(MaxNames) {
			if !yield(e.key, e.value.named > 0) {
				return
			}
		}
	}
}
