package memory

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// reader is a hub that knows which rooms have readers.
type reader struct {
	storetest.Hub
	reads   func(room string) bool
	dropped func(room string, through store.ID) // or nil
}

func (*reader) Deliver([]*store.Message)    {}
func (*reader) Changed(_, _ *store.Message) {}
func (r *reader) Reading(room string) bool  { return r.reads(room) }

// Dropped implements [store.Mirror].
func (r *reader) Dropped(room string, through store.ID) {
	if r.dropped != nil {
		r.dropped(room, through)
	}
}

func TestTheLongestIdleUnreadRoomsGoFirst(t *testing.T) {
	hub := new(storetest.Hub)
	s := Open(hub, store.Limits{Count: 1000, Rooms: 100, Size: MinSize})
	defer s.Close()
	hub.Read("read", true)
	large := store.Draft{Text: strings.Repeat("x", 8<<10)}
	oldest := storetest.MustAppend(t, s, "read", large)[0]
	for range 20 {
		storetest.MustAppend(t, s, "idle", large)
	}
	newest := storetest.MustAppend(t, s, "later", large)[0]
	for s.rooms["idle"] != nil {
		storetest.MustAppend(t, s, "busy", large)
	}
	if s.rooms["later"] == nil {
		t.Error("more than the longest idle room is gone")
	}
	if s.rooms["read"].log.At(0) != oldest {
		t.Error("a message of a room with readers went before an idle room")
	}
	for s.rooms["later"] != nil {
		storetest.MustAppend(t, s, "busy", large)
	}
	// now no room is idle, and the oldest message is removed
	for s.rooms["read"] != nil {
		storetest.MustAppend(t, s, "busy", large)
	}
	page, err := s.After(t.Context(), store.Span{Rooms: []string{"read", "later"}, UpTo: s.State().Latest}, 10)
	if err != nil || len(page.Messages) != 0 || oldest.ID.After(page.Lost[0]) || newest.ID.After(page.Lost[1]) {
		t.Errorf("what is told lost is %v, %v, want at least %v, %v", page, err, oldest.ID, newest.ID)
	}
}

// modelRoom is a room of a store that is too simple to be wrong: it searches for the
// oldest message, and adds up sizes, each time.
type modelRoom struct {
	name      string
	log       store.Log
	lost      store.ID
	revisions revisions.List
}

// sizeModel holds the rooms in the order in which they were last published to or became
// empty.
type sizeModel struct {
	limits store.Limits
	rooms  []*modelRoom
	peak   int
	nonces func() int
	reads  func(room string) bool
}

func (m *sizeModel) used() int {
	used := m.peak*slotSize + m.nonces()
	for _, r := range m.rooms {
		used += roomSize + len(r.name) + nameSize + r.log.Size() + r.revisions.Size()
	}
	return used
}

func (m *sizeModel) append(name string, messages []*store.Message) {
	i := slices.IndexFunc(m.rooms, func(r *modelRoom) bool { return r.name == name })
	r := &modelRoom{name: name}
	if i >= 0 {
		r = m.rooms[i]
		m.rooms = slices.Delete(m.rooms, i, i+1)
	}
	m.rooms = append(m.rooms, r)
	m.peak = max(m.peak, len(m.rooms))
	for _, message := range messages {
		r.log.Push(message)
		m.trim()
	}
	m.bound(r)
}

func (m *sizeModel) trim() {
	for _, r := range m.rooms {
		for r.log.Len() > m.limits.Count {
			r.lost = r.log.Shift().ID
		}
		r.revisions.Limit(m.limits.Count, r.lost)
	}
}

func (m *sizeModel) bound(current *modelRoom) {
	if m.used() <= m.limits.Size {
		return
	}
	target := m.limits.Size - min(m.limits.Size/slackShare, maxSlack)
	for m.used() > target {
		idle := m.idlest(current, true)
		if idle == nil {
			idle = m.idlest(current, false)
		}
		if idle == nil {
			break
		}
		m.remove(idle)
	}
	for m.used() > target {
		var with *modelRoom
		for _, r := range m.rooms {
			if r.log.Len() > 0 && (with == nil || with.log.At(0).ID.After(r.log.At(0).ID)) {
				with = r
			}
		}
		if with == nil {
			return
		}
		with.lost = with.log.Shift().ID
		if with.log.Len() > 0 {
			continue
		}
		m.remove(with)
		if with == current {
			m.rooms = append(m.rooms, with)
		}
	}
}

// idlest returns the room to drop among those that are empty, or those that are not, or
// nil. Those that are in use move to the end.
func (m *sizeModel) idlest(current *modelRoom, empty bool) *modelRoom {
	for _, r := range slices.Clone(m.rooms) {
		if (r.log.Len() == 0) != empty {
			continue
		}
		if r != current && !m.reads(r.name) {
			return r
		}
		m.moveToEnd(r)
	}
	return nil
}

func (m *sizeModel) remove(r *modelRoom) {
	m.rooms = slices.DeleteFunc(m.rooms, func(other *modelRoom) bool { return other == r })
}

func (m *sizeModel) moveToEnd(r *modelRoom) {
	m.remove(r)
	m.rooms = append(m.rooms, r)
}

// delete deletes a message at the revision that revision returns, if there is one.
func (m *sizeModel) delete(id store.ID, revision func() store.ID) (found bool) {
	for _, r := range slices.Clone(m.rooms) {
		if r.log.Remove(id) {
			found = true
			r.revisions.Change(store.ID{}, revisions.Revision{At: revision(), ID: id, Kind: revisions.Deleted})
			r.revisions.Limit(m.limits.Count, r.lost)
			if r.log.Len() == 0 {
				m.moveToEnd(r)
			}
		}
	}
	return found
}

// forget removes a room's messages, but not the room.
func (m *sizeModel) forget(name string, revision func() store.ID) {
	for _, r := range slices.Clone(m.rooms) {
		if n := r.log.Len(); r.name == name && n > 0 {
			r.lost = r.log.At(n - 1).ID
			r.revisions.Forget(revision(), r.lost)
			for r.log.Len() > 0 {
				r.log.Shift()
			}
			m.moveToEnd(r)
		}
	}
}

func TestWhatIsRemovedIsWhatANaiveModelRemoves(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			runSizeModel(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func runSizeModel(t *testing.T, random *rand.Rand) {
	read := map[string]bool{}
	reads := func(room string) bool { return read[room] }
	limits := store.Limits{Count: 100, Rooms: 100, Size: 100_000}
	hub := &reader{reads: reads}
	s := Open(hub, limits)
	defer s.Close()
	dropped := map[string]store.ID{}
	hub.dropped = func(room string, through store.ID) { dropped[room] = through }
	m := &sizeModel{limits: limits, nonces: func() int { return s.nonces.bytes }, reads: reads}
	latest := func() store.ID { return s.State().Latest }
	var sent []store.ID
	for range 2000 {
		room := fmt.Sprint("room ", random.IntN(20))
		switch random.IntN(20) {
		case 0, 1:
			read[room] = !read[room]
		case 2:
			if len(sent) > 0 {
				id := sent[random.IntN(len(sent))]
				kept := slices.ContainsFunc(s.nonces.queue.All(), func(e nonceEntry) bool {
					first := s.nonces.find(e.key.room, e.key.owner, e.key.nonce)
					return first.ID == id && first.Message != nil
				})
				err := s.Delete(t.Context(), id)
				if known := m.delete(id, latest) || kept; known != !errors.Is(err, store.ErrNotFound) {
					t.Fatalf("deleting %v: %v", id, err)
				}
			}
		case 3:
			m.limits.Size = 50_000 + random.IntN(100_000)
			m.limits.Count = 10 + random.IntN(200)
			s.Limit(m.limits)
			m.trim()
			m.bound(nil)
		case 4:
			if err := s.Forget(t.Context(), room); err != nil {
				t.Fatal(err)
			}
			m.forget(room, latest)
		default:
			drafts := make([]store.Draft, 1+random.IntN(4))
			for i := range drafts {
				drafts[i].Text = strings.Repeat("x", 1<<random.IntN(13))
				if random.IntN(3) == 0 {
					drafts[i].Nonce = fmt.Sprint(random.Int())
				}
			}
			messages := storetest.MustAppend(t, s, room, drafts...)
			for _, message := range messages {
				sent = append(sent, message.ID)
			}
			m.append(room, messages)
		}
		if s.used() != m.used() {
			t.Fatalf("%d bytes are counted, want %d", s.used(), m.used())
		}
		if len(s.rooms) != len(m.rooms) {
			t.Fatalf("%d rooms are left, want %d", len(s.rooms), len(m.rooms))
		}
		for _, want := range m.rooms {
			r := s.rooms[want.name]
			if r == nil || r.log.Len() != want.log.Len() {
				t.Fatalf("%s is %v, want %d messages", want.name, r, want.log.Len())
			}
			for i := range r.log.Len() {
				if r.log.At(i) != want.log.At(i) {
					t.Fatalf("message %d of %s is %v, want %v", i, want.name, r.log.At(i).ID, want.log.At(i).ID)
				}
			}
			if !want.lost.IsZero() && want.lost.After(r.lost) {
				t.Fatalf("%s tells %v lost, want %v", want.name, r.lost, want.lost)
			}
			if r.log.Len() > 0 && !r.log.At(0).ID.After(dropped[want.name]) {
				t.Fatalf("the hub was told that %s is gone up to %v, but the store holds %v", want.name, dropped[want.name], r.log.At(0).ID)
			}
		}
	}
}

func TestASizeThatIsMadeSmallerTakesEffectAtOnce(t *testing.T) {
	s := Open(new(storetest.Hub), storetest.Plenty)
	defer s.Close()
	for i := range 5000 {
		storetest.MustAppend(t, s, fmt.Sprint("room ", i), store.Draft{Text: strings.Repeat("x", 1000), Nonce: fmt.Sprint(i)})
	}
	if s.used() < 5<<20 {
		t.Fatalf("%d bytes are used of 5,000 messages of 1,000 bytes", s.used())
	}
	limits := storetest.Plenty
	limits.Size = 2 << 20
	s.Limit(limits)
	if s.used() > limits.Size || s.used() < limits.Size/2 {
		t.Errorf("%d bytes are used of a size of %d", s.used(), limits.Size)
	}
	if s.rooms["room 4999"] == nil {
		t.Error("the newest room is gone")
	}
}

// Not parallel, because GOMEMLIMIT applies to the whole process.
func TestTheDefaultSizeIsAQuarterOfTheLeastLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	for _, test := range []struct {
		name            string
		env             int64
		cgroup, machine memlimit.Provider
		want            int
	}{
		{"GOMEMLIMIT", 4 << 30, memlimit.Limit(8 << 30), memlimit.Limit(16 << 30), 1 << 30},
		{"a cgroup", math.MaxInt64, memlimit.Limit(512 << 20), memlimit.Limit(16 << 30), 128 << 20},
		{"the machine", math.MaxInt64, none, memlimit.Limit(2 << 30), 512 << 20},
		{"nothing known", math.MaxInt64, none, none, 256 << 20},
		{"very little", 2 << 20, none, none, MinSize},
	} {
		t.Run(test.name, func(t *testing.T) {
			debug.SetMemoryLimit(test.env)
			if got := defaultSize(test.cgroup, test.machine); got != test.want {
				t.Errorf("the default is %d, want %d", got, test.want)
			}
		})
	}
}
