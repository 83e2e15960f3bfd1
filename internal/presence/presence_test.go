package presence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// presenceModel says who is present by looking at all streams each time.
type presenceModel []modelStream

type modelStream struct {
	who    Identity
	left   bool
	leftAt int64
}

func (m *presenceModel) arrive(who Identity) {
	known := func(s modelStream) bool { return s.who.Person != "" && s.who.Person == who.Person }
	leaver := func(s modelStream) bool { return s.left && s.who.Name == who.Name }
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
		if s.who.Person != "" && other.who.Person == s.who.Person {
			return
		}
	}
	*m = append(*m, modelStream{s.who, true, now})
}

func (m *presenceModel) depart(now int64) {
	*m = slices.DeleteFunc(*m, func(s modelStream) bool { return s.left && now-s.leftAt >= LeaveAfter })
}

func (m presenceModel) count() (sum Summary, names []string) {
	people := make(map[string]bool)
	for i, s := range m {
		key := s.who.Person
		if key == "" {
			key = fmt.Sprint("stream ", i)
		}
		people[key] = people[key] || s.who.Name != ""
		if s.who.Name != "" {
			names = append(names, s.who.Name)
		}
	}
	for _, named := range people {
		if sum.Count++; !named {
			sum.Unnamed++
		}
	}
	slices.Sort(names)
	return sum, slices.Compact(names)
}

// randomIdentity is of a few, so that they meet often.
func randomIdentity(random *rand.Rand, names int) Identity {
	var who Identity
	if random.IntN(3) > 0 {
		who.Name = fmt.Sprint("n", random.IntN(names))
	}
	switch random.IntN(3) {
	case 0:
		who.Person = fmt.Sprint("tag", random.IntN(names))
	case 1:
		if who.Name != "" {
			who.Person = PersonByName(who.Name)
		}
	}
	return who
}

func TestPresenceIsWhatTheModelSays(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		var p Presence
		var m presenceModel
		var present []Identity // those of m that have not left
		names, steps := 1+random.IntN(8), 300
		if seed%20 == 0 {
			names, steps = 300, 1000 // more than are told
		}
		now := int64(1)
		for step := range steps {
			before, shown := p.Version, p.LocalNames()
			sumBefore := p.Summary()
			switch what := random.IntN(10); {
			case what < 5 || len(present) == 0:
				who := randomIdentity(random, names)
				p.Arrive(who)
				m.arrive(who)
				present = append(present, who)
			case what < 8:
				i := random.IntN(len(present))
				who := present[i]
				present = slices.Delete(present, i, i+1)
				p.Leave(who, now)
				m.leave(slices.Index(m, modelStream{who: who}), now)
			default:
				now += random.Int64N(2 * LeaveAfter)
				p.ExpireLeavers(now)
				m.depart(now)
			}
			want, all := m.count()
			got := p.LocalNames()
			if p.Summary() != want || len(got) != min(len(all), MaxNames) {
				t.Fatalf("seed %d, step %d: %+v and %d names, want %+v and %d", seed, step, p.Summary(), len(got), want, len(all))
			}
			for _, name := range got {
				if !slices.Contains(all, name) {
					t.Fatalf("seed %d, step %d: %q is told and not there", seed, step, name)
				}
			}
			if changed := sumBefore != want || !slices.Equal(shown, got); changed && p.Version == before {
				t.Fatalf("seed %d, step %d: a change was not noted", seed, step)
			}
			if !slices.Equal(shown, got) && p.NamesVersion <= before {
				t.Fatalf("seed %d, step %d: a change of names was not noted", seed, step)
			}
		}
		// nothing is left when all have gone
		for _, who := range present {
			p.Leave(who, now)
		}
		p.ExpireLeavers(now + LeaveAfter)
		if p.Summary() != (Summary{}) || p.names.len() != 0 || p.leavers.first != nil || p.leavers.byName != nil {
			t.Fatalf("seed %d: all have gone, and %+v, %d names are left", seed, p.Summary(), p.names.len())
		}
	}
}

func TestWhoComesStraightBackIsNoChange(t *testing.T) {
	kim, lee := Identity{"kim", "tag-of-kim0"}, Identity{"lee", "tag-of-kim0"}
	other, nobodyWithTag := Identity{Name: "kim"}, Identity{Person: "tag-of-kim0"}
	for _, test := range []struct {
		name         string
		leaves, back Identity
		names        []string
		unnamed      int
	}{
		{"with the same tag and name", kim, kim, []string{"kim"}, 0},
		{"with the same tag and a new name", kim, lee, []string{"lee"}, 0},
		{"with the same tag and no name any more", kim, nobodyWithTag, nil, 1},
		{"with the same tag and a first name", nobodyWithTag, kim, []string{"kim"}, 0},
		{"with the same name, and no tag", other, other, []string{"kim"}, 0},
		{"with the same name, and the tag lost", kim, other, []string{"kim"}, 0},
		{"with the same name, and a new tag", kim, Identity{"kim", "another-tag"}, []string{"kim"}, 0},
		{"with neither", Identity{}, Identity{}, nil, 1},
		{"with no name, and a first tag", Identity{}, nobodyWithTag, nil, 1},
		{"with the name that the configuration gives", Identity{"kim", "=kim"}, Identity{"kim", "=kim"}, []string{"kim"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p Presence
			p.Arrive(test.leaves)
			p.Leave(test.leaves, 1)
			p.ExpireLeavers(LeaveAfter) // which is one tick too early
			p.Arrive(test.back)
			p.ExpireLeavers(10 * LeaveAfter)
			if got, want := p.Summary(), (Summary{1, test.unnamed}); got != want || !slices.Equal(p.LocalNames(), test.names) {
				t.Errorf("%+v, %q, want %+v, %q", got, p.LocalNames(), want, test.names)
			}
		})
	}
}

func TestPeopleAreCountedAndNotStreams(t *testing.T) {
	var p Presence
	for _, step := range []struct {
		name  string
		who   Identity
		want  Summary
		names []string
	}{
		{"a stream of a configured name", Identity{"kim", "=kim"}, Summary{1, 0}, []string{"kim"}},
		{"a second one", Identity{"kim", "=kim"}, Summary{1, 0}, []string{"kim"}},
		{"one that only says it is kim", Identity{Name: "kim"}, Summary{2, 0}, []string{"kim"}},
		{"another one", Identity{Name: "kim"}, Summary{3, 0}, []string{"kim"}},
		{"a tag without a name", Identity{Person: "0123456789_"}, Summary{4, 1}, []string{"kim"}},
		{"the same with a name", Identity{"lee", "0123456789_"}, Summary{4, 0}, []string{"kim", "lee"}},
		{"nobody", Identity{}, Summary{5, 1}, []string{"kim", "lee"}},
		{"nobody again", Identity{}, Summary{6, 2}, []string{"kim", "lee"}},
	} {
		if p.Arrive(step.who); p.Summary() != step.want || !slices.Equal(p.LocalNames(), step.names) {
			t.Errorf("%s: %+v, %q, want %+v, %q", step.name, p.Summary(), p.LocalNames(), step.want, step.names)
		}
	}
}

// Beyond 100 names it is not told who comes, and who goes leaves the place to
// one of those who were not told.
func TestTheNamesThatAreToldChangeAsLittleAsTheyCan(t *testing.T) {
	var p Presence
	for i := range 100_000 {
		p.Arrive(Identity{Name: fmt.Sprintf("n%06d", i)})
	}
	before, version := p.LocalNames(), p.NamesVersion
	if len(before) != MaxNames || before[0] != "n000000" || before[99] != "n000099" {
		t.Fatalf("%d names are told, from %s", len(before), before[0])
	}
	p.Arrive(Identity{Name: "a late one"})
	p.Leave(Identity{Name: "n050000"}, 1)
	p.ExpireLeavers(1 + LeaveAfter)
	if p.NamesVersion != version {
		t.Error("a name that is not told has changed those that are")
	}
	p.Leave(Identity{Name: "n000050"}, 1)
	p.ExpireLeavers(1 + LeaveAfter)
	same := 0
	for _, name := range p.LocalNames() {
		if slices.Contains(before, name) {
			same++
		}
	}
	if same != MaxNames-1 || len(p.LocalNames()) != MaxNames || p.NamesVersion == version {
		t.Errorf("one of those told has left, and %d of %d are the same", same, len(p.LocalNames()))
	}
}

func TestWhoReadsAtSeveralNodesIsOne(t *testing.T) {
	kim, tagged, untold := Identity{"kim", "=kim"}, Identity{"lee", "0123456789a"}, Identity{Person: "0123456789a"}
	for _, test := range []struct {
		name  string
		here  []Identity
		there [][]Identity
		want  Summary
		names []string
	}{
		{"different people", []Identity{kim}, [][]Identity{{tagged}, {{}}}, Summary{3, 1}, []string{"kim", "lee"}},
		{"a configured name", []Identity{kim}, [][]Identity{{kim, kim}}, Summary{1, 0}, []string{"kim"}},
		{"a name that is only said", []Identity{{Name: "kim"}}, [][]Identity{{{Name: "kim"}}}, Summary{2, 0}, []string{"kim"}},
		{"a tag", []Identity{tagged}, [][]Identity{{tagged}, {tagged}}, Summary{1, 0}, []string{"lee"}},
		{"a tag, not at this node", nil, [][]Identity{{tagged}, {tagged}, {untold}}, Summary{1, 0}, []string{"lee"}},
		{"a tag without a name", []Identity{untold}, [][]Identity{{untold}, {untold}}, Summary{1, 1}, nil},
		{"a tag that has a name here", []Identity{tagged}, [][]Identity{{untold}}, Summary{1, 0}, []string{"lee"}},
		{"a tag that has a name there", []Identity{untold}, [][]Identity{{tagged}}, Summary{1, 0}, []string{"lee"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p Presence
			for _, who := range test.here {
				p.Arrive(who)
			}
			others := new(Elsewhere)
			for _, node := range test.there {
				var there Presence
				for _, who := range node {
					there.Arrive(who)
				}
				others.Add(there.Summary(), there.LocalNames(), there.Known())
			}
			others.Tidy()
			p.SetElsewhere(others)
			if p.Total() != test.want || !slices.Equal(p.AllNames(), test.names) {
				t.Errorf("%+v, %q, want %+v, %q", p.Total(), p.AllNames(), test.want, test.names)
			}
		})
	}
}

func BenchmarkDistinctNames(b *testing.B) {
	const crowd = 100_000
	names := make([]Identity, crowd)
	for i := range names {
		names[i].Name = fmt.Sprintf("%064d", rand.Uint64())
	}
	b.ReportAllocs()
	for b.Loop() {
		var p Presence
		for i, who := range names {
			p.Arrive(who)
			if i%100 == 0 { // 1,000 arrivals a second, told ten times each second
				_ = wire.AppendPresence(nil, "a", p.Total().Count, p.Total().Unnamed, p.AllNames())
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*crowd), "ns/arrival")
}
