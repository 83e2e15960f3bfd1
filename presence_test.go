package ssechat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// presenceModel says who is present by looking at all streams each time.
type presenceModel []modelStream

type modelStream struct {
	who    identity
	left   bool
	leftAt int64
}

func (m *presenceModel) arrive(who identity) {
	known := func(s modelStream) bool { return s.who.person != "" && s.who.person == who.person }
	leaver := func(s modelStream) bool { return s.left && s.who.name == who.name }
	if slices.ContainsFunc(*m, known) {
		leaver = func(s modelStream) bool { return s.left && known(s) }
	}
	if i := slices.IndexFunc(*m, leaver); i >= 0 {
		*m = slices.Delete(*m, i, i+1)
	}
	*m = append(*m, modelStream{who: who})
}

func (m *presenceModel) leave(i int, now int64) {
	s := (*m)[i]
	*m = slices.Delete(*m, i, i+1)
	for _, other := range *m {
		if s.who.person != "" && other.who.person == s.who.person {
			return
		}
	}
	*m = append(*m, modelStream{s.who, true, now})
}

func (m *presenceModel) depart(now int64) {
	*m = slices.DeleteFunc(*m, func(s modelStream) bool { return s.left && now-s.leftAt >= leaveAfter })
}

func (m presenceModel) count() (sum summary, names []string) {
	people := make(map[string]bool)
	for i, s := range m {
		key := s.who.person
		if key == "" {
			key = fmt.Sprint("stream ", i)
		}
		people[key] = people[key] || s.who.name != ""
		if s.who.name != "" {
			names = append(names, s.who.name)
		}
	}
	for _, named := range people {
		if sum.count++; !named {
			sum.unnamed++
		}
	}
	slices.Sort(names)
	return sum, slices.Compact(names)
}

// randomIdentity is of a few, so that they meet often.
func randomIdentity(random *rand.Rand, names int) identity {
	var who identity
	if random.IntN(3) > 0 {
		who.name = fmt.Sprint("n", random.IntN(names))
	}
	switch random.IntN(3) {
	case 0:
		who.person = fmt.Sprint("tag", random.IntN(names))
	case 1:
		if who.name != "" {
			who.person = personByName(who.name)
		}
	}
	return who
}

func TestPresenceIsWhatTheModelSays(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		var p presence
		var m presenceModel
		var present []identity // those of m that have not left
		names, steps := 1+random.IntN(8), 300
		if seed%20 == 0 {
			names, steps = 300, 1000 // more than are told
		}
		now := int64(1)
		for step := range steps {
			before, shown := p.version, p.localNames()
			sumBefore := p.summary()
			switch what := random.IntN(10); {
			case what < 5 || len(present) == 0:
				who := randomIdentity(random, names)
				p.arrive(who)
				m.arrive(who)
				present = append(present, who)
			case what < 8:
				i := random.IntN(len(present))
				who := present[i]
				present = slices.Delete(present, i, i+1)
				p.leave(who, now)
				m.leave(slices.Index(m, modelStream{who: who}), now)
			default:
				now += random.Int64N(2 * leaveAfter)
				p.depart(now)
				m.depart(now)
			}
			want, all := m.count()
			got := p.localNames()
			if p.summary() != want || len(got) != min(len(all), maxNames) {
				t.Fatalf("seed %d, step %d: %+v and %d names, want %+v and %d", seed, step, p.summary(), len(got), want, len(all))
			}
			for _, name := range got {
				if !slices.Contains(all, name) {
					t.Fatalf("seed %d, step %d: %q is told and not there", seed, step, name)
				}
			}
			if changed := sumBefore != want || !slices.Equal(shown, got); changed && p.version == before {
				t.Fatalf("seed %d, step %d: a change was not noted", seed, step)
			}
			if !slices.Equal(shown, got) && p.namesVersion <= before {
				t.Fatalf("seed %d, step %d: a change of names was not noted", seed, step)
			}
		}
		// nothing is left when all have gone
		for _, who := range present {
			p.leave(who, now)
		}
		p.depart(now + leaveAfter)
		if p.summary() != (summary{}) || p.names.len() != 0 || p.leaving.first != nil || p.leaving.byName != nil {
			t.Fatalf("seed %d: all have gone, and %+v, %d names are left", seed, p.summary(), p.names.len())
		}
	}
}

func TestWhoComesStraightBackIsNoChange(t *testing.T) {
	kim, lee := identity{"kim", "tag-of-kim0"}, identity{"lee", "tag-of-kim0"}
	other, nobodyWithTag := identity{name: "kim"}, identity{person: "tag-of-kim0"}
	for _, test := range []struct {
		name         string
		leaves, back identity
		names        []string
		unnamed      int
	}{
		{"with the same tag and name", kim, kim, []string{"kim"}, 0},
		{"with the same tag and a new name", kim, lee, []string{"lee"}, 0},
		{"with the same tag and no name any more", kim, nobodyWithTag, nil, 1},
		{"with the same tag and a first name", nobodyWithTag, kim, []string{"kim"}, 0},
		{"with the same name, and no tag", other, other, []string{"kim"}, 0},
		{"with the same name, and the tag lost", kim, other, []string{"kim"}, 0},
		{"with the same name, and a new tag", kim, identity{"kim", "another-tag"}, []string{"kim"}, 0},
		{"with neither", identity{}, identity{}, nil, 1},
		{"with no name, and a first tag", identity{}, nobodyWithTag, nil, 1},
		{"with the name that the configuration gives", identity{"kim", "=kim"}, identity{"kim", "=kim"}, []string{"kim"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p presence
			p.arrive(test.leaves)
			p.leave(test.leaves, 1)
			p.depart(leaveAfter) // which is one tick too early
			p.arrive(test.back)
			p.depart(10 * leaveAfter)
			if got, want := p.summary(), (summary{1, test.unnamed}); got != want || !slices.Equal(p.localNames(), test.names) {
				t.Errorf("%+v, %q, want %+v, %q", got, p.localNames(), want, test.names)
			}
		})
	}
}

func TestPeopleAreCountedAndNotStreams(t *testing.T) {
	var p presence
	for _, step := range []struct {
		name  string
		who   identity
		want  summary
		names []string
	}{
		{"a stream of a configured name", identity{"kim", "=kim"}, summary{1, 0}, []string{"kim"}},
		{"a second one", identity{"kim", "=kim"}, summary{1, 0}, []string{"kim"}},
		{"one that only says it is kim", identity{name: "kim"}, summary{2, 0}, []string{"kim"}},
		{"another one", identity{name: "kim"}, summary{3, 0}, []string{"kim"}},
		{"a tag without a name", identity{person: "0123456789_"}, summary{4, 1}, []string{"kim"}},
		{"the same with a name", identity{"lee", "0123456789_"}, summary{4, 0}, []string{"kim", "lee"}},
		{"nobody", identity{}, summary{5, 1}, []string{"kim", "lee"}},
		{"nobody again", identity{}, summary{6, 2}, []string{"kim", "lee"}},
	} {
		if p.arrive(step.who); p.summary() != step.want || !slices.Equal(p.localNames(), step.names) {
			t.Errorf("%s: %+v, %q, want %+v, %q", step.name, p.summary(), p.localNames(), step.want, step.names)
		}
	}
}

// Beyond 100 names it is not told who comes, and who goes leaves the place to
// one of those who were not told.
func TestTheNamesThatAreToldChangeAsLittleAsTheyCan(t *testing.T) {
	var p presence
	for i := range 100_000 {
		p.arrive(identity{name: fmt.Sprintf("n%06d", i)})
	}
	before, version := p.localNames(), p.namesVersion
	if len(before) != maxNames || before[0] != "n000000" || before[99] != "n000099" {
		t.Fatalf("%d names are told, from %s", len(before), before[0])
	}
	p.arrive(identity{name: "a late one"})
	p.leave(identity{name: "n050000"}, 1)
	p.depart(1 + leaveAfter)
	if p.namesVersion != version {
		t.Error("a name that is not told has changed those that are")
	}
	p.leave(identity{name: "n000050"}, 1)
	p.depart(1 + leaveAfter)
	same := 0
	for _, name := range p.localNames() {
		if slices.Contains(before, name) {
			same++
		}
	}
	if same != maxNames-1 || len(p.localNames()) != maxNames || p.namesVersion == version {
		t.Errorf("one of those told has left, and %d of %d are the same", same, len(p.localNames()))
	}
}

func TestWhoReadsAtSeveralNodesIsOne(t *testing.T) {
	here := func(who ...identity) noticeRoom {
		r := &room{name: "a"}
		for _, w := range who {
			r.presence.arrive(w)
		}
		return r.here()
	}
	kim, tagged, untold := identity{"kim", "=kim"}, identity{"lee", "0123456789a"}, identity{person: "0123456789a"}
	for _, test := range []struct {
		name  string
		here  []identity
		there [][]identity
		want  summary
		names []string
	}{
		{"different people", []identity{kim}, [][]identity{{tagged}, {{}}}, summary{3, 1}, []string{"kim", "lee"}},
		{"a configured name", []identity{kim}, [][]identity{{kim, kim}}, summary{1, 0}, []string{"kim"}},
		{"a name that is only said", []identity{{name: "kim"}}, [][]identity{{{name: "kim"}}}, summary{2, 0}, []string{"kim"}},
		{"a tag", []identity{tagged}, [][]identity{{tagged}, {tagged}}, summary{1, 0}, []string{"lee"}},
		{"a tag, not at this node", nil, [][]identity{{tagged}, {tagged}, {untold}}, summary{1, 0}, []string{"lee"}},
		{"a tag without a name", []identity{untold}, [][]identity{{untold}, {untold}}, summary{1, 1}, nil},
		{"a tag that has a name here", []identity{tagged}, [][]identity{{untold}}, summary{1, 0}, []string{"lee"}},
		{"a tag that has a name there", []identity{untold}, [][]identity{{tagged}}, summary{1, 0}, []string{"lee"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p presence
			for _, who := range test.here {
				p.arrive(who)
			}
			others := new(elsewhere)
			for _, node := range test.there {
				n := here(node...)
				others.add(&n)
			}
			slices.Sort(others.names)
			others.names = slices.Compact(others.names)
			p.setOthers(others)
			if p.total() != test.want || !slices.Equal(p.allNames(), test.names) {
				t.Errorf("%+v, %q, want %+v, %q", p.total(), p.allNames(), test.want, test.names)
			}
		})
	}
}

func BenchmarkDistinctNames(b *testing.B) {
	const crowd = 100_000
	names := make([]identity, crowd)
	for i := range names {
		names[i].name = fmt.Sprintf("%064d", rand.Uint64())
	}
	b.ReportAllocs()
	for b.Loop() {
		var p presence
		for i, who := range names {
			p.arrive(who)
			if i%100 == 0 { // 1,000 arrivals a second, told ten times each second
				_ = appendPresence(nil, "a", p.total(), p.allNames())
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*crowd), "ns/arrival")
}
