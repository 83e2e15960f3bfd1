package ssechat

import "slices"

const (
	// leaveAfter is how long a departed reader is still counted, so that one
	// who comes straight back is no change.
	leaveAfter = 50 // ticks
	// maxNames is how many names of a room are told, and of how many people
	// nodes tell each other who they are.
	maxNames = 100
)

// identity is what tells people apart.
type identity struct {
	name string // that others see, or empty
	// person is the same for all streams of one person. It is empty for a
	// stream that counts as a person by itself.
	person string
}

// nobody is the identity of most streams.
var nobody identity

// shared returns a copy of the identity, which must not change: streams that
// have none have one together.
func (i identity) shared() *identity {
	if i == nobody {
		return &nobody
	}
	return &i
}

// personByName is the person that the configuration gives a name to. No tag of
// an author begins like this.
func personByName(name string) string { return "=" + name }

// presence is who reads a room at this node, or did a moment ago, and who does
// elsewhere. It knows no clock: ticks come in as values. The room's seatMu
// guards it.
//
// Names and tags are chosen by clients, so each arrival and departure takes
// constant time, and what is told looks at no more than [maxNames] of them.
type presence struct {
	people  roster[person]
	names   roster[int] // by how many streams each is held
	singles int         // streams that are a person by themselves
	unnamed int         // people without a name
	leaving leavers
	others  *elsewhere // nil if nobody does

	// version changes with what there is to tell, namesVersion is the version
	// in which the names last did.
	version, namesVersion uint64
}

// person is somebody whose streams are recognised.
type person struct {
	streams int // open ones, or 1 while there is a leaver
	named   int // how many of these have a name
	leaver  *leaver
}

// arrive is called when a stream begins.
func (p *presence) arrive(who identity) {
	defer p.noteChange(p.summary())
	p.enter(who)
	if who.person != "" {
		known := p.people.get(who.person)
		if l := known.leaver; l != nil {
			known.leaver, l.replaced = nil, true
			p.exit(l.who)
			return
		}
		if known.streams > 1 {
			return
		}
	}
	// whoever left under the same name, or without one as this one is, did not
	if l := p.leaving.take(who.name); l != nil {
		p.exit(l.who)
	}
}

// leave is called when a stream ends. It reports whether a call of depart is
// needed after a while, because the stream still counts.
func (p *presence) leave(who identity, now int64) (pending bool) {
	defer p.noteChange(p.summary())
	var known *person
	if who.person != "" {
		if known = p.people.get(who.person); known.streams > 1 {
			p.exit(who)
			return false
		}
	}
	l := p.leaving.add(who, now)
	if known != nil {
		known.leaver = l
	}
	return true
}

// depart takes out whoever left at least leaveAfter ago and was not replaced.
func (p *presence) depart(now int64) {
	defer p.noteChange(p.summary())
	for {
		l := p.leaving.shift(now - leaveAfter)
		if l == nil {
			return
		}
		if !l.replaced {
			p.exit(l.who)
		}
	}
}

// enter counts a stream, exit takes it out again.
func (p *presence) enter(who identity) {
	if who.name != "" {
		held, place := p.names.at(who.name)
		if *held++; *held == 1 && place < maxNames {
			p.namesChanged()
		}
	}
	if who.person == "" {
		p.singles++
		if who.name == "" {
			p.unnamed++
		}
		return
	}
	known, _ := p.people.at(who.person)
	p.unnamed -= known.unnamed()
	known.streams++
	if who.name != "" {
		known.named++
	}
	p.unnamed += known.unnamed()
}

func (p *presence) exit(who identity) {
	if who.name != "" {
		held := p.names.get(who.name)
		if *held--; *held == 0 && p.names.remove(who.name) < maxNames {
			p.namesChanged()
		}
	}
	if who.person == "" {
		p.singles--
		if who.name == "" {
			p.unnamed--
		}
		return
	}
	known := p.people.get(who.person)
	p.unnamed -= known.unnamed()
	known.streams--
	if who.name != "" {
		known.named--
	}
	p.unnamed += known.unnamed()
	if known.streams == 0 {
		p.people.remove(who.person)
	}
}

// unnamed is 1 for a person who is there without a name, else 0.
func (p *person) unnamed() int {
	if p.streams > 0 && p.named == 0 {
		return 1
	}
	return 0
}

// summary is what is told of people at this node beside their names.
type summary struct{ count, unnamed int }

func (p *presence) summary() summary { return summary{p.people.len() + p.singles, p.unnamed} }

func (p *presence) noteChange(before summary) {
	if p.summary() != before {
		p.version++
	}
}

func (p *presence) namesChanged() {
	p.version++
	p.namesVersion = p.version
}

// setOthers sets who reads the room at other nodes; nil is nobody.
func (p *presence) setOthers(others *elsewhere) {
	before := p.others
	p.others = others
	if !slices.Equal(others.shown(), before.shown()) {
		p.namesChanged()
	}
	if !others.equal(before) {
		p.version++
	}
}

// total is the summary of all nodes. Who is known to read at several of them is
// one.
func (p *presence) total() summary {
	sum := p.summary()
	if p.others == nil {
		return sum
	}
	sum.count += p.others.count
	sum.unnamed += p.others.unnamed
	for key, named := range p.others.people {
		if here := p.people.get(key); here != nil {
			sum.merge(named, here.named > 0)
		}
	}
	return sum
}

// merge makes one of a person who was counted twice, and says for both whether
// they have a name.
func (s *summary) merge(named, namedToo bool) {
	s.count--
	if !named || !namedToo {
		s.unnamed--
	}
}

// localNames returns the names that this node shows, sorted.
func (p *presence) localNames() []string {
	shown := p.names.first(maxNames)
	names := make([]string, len(shown))
	for i := range shown {
		names[i] = shown[i].key
	}
	slices.Sort(names)
	return names
}

// allNames returns the names that are told, sorted: those of this node first,
// and then as many of others as there is room for.
func (p *presence) allNames() []string {
	names := p.localNames()
	here := len(names)
	for _, name := range p.others.shown() {
		if len(names) == maxNames {
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

// moreNamesThan reports whether there are more than n names to tell.
func (p *presence) moreNamesThan(n int) bool {
	switch here := p.names.len(); {
	case here > n:
		return true
	case here+len(p.others.shown()) <= n:
		return false
	default:
		return len(p.allNames()) > n
	}
}
