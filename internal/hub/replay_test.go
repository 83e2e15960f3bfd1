package hub

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// A reader gets what follows its id, whatever it was told before.
func TestResume(t *testing.T) {
	t.Run("in rooms that nobody reads", func(t *testing.T) { testResume(t, false) })
	t.Run("in rooms with readers", func(t *testing.T) { testResume(t, true) })
}

func testResume(t *testing.T, read bool) {
	b := newTestHub(t, store.Limits{Count: 3, Rooms: 100})
	if read {
		defer b.mustSubscribe(t, defaults("a", "b", "c")).Close()
	}
	before := b.store.State().Latest.String()
	var ids []string
	for i := range 5 {
		ids = append(ids, b.mustPublish(t, "a", fmt.Sprint(i)).String())
	}
	other := b.mustPublish(t, "b", "x").String()
	future := b.store.State().Latest.Next().String()

	for _, test := range []struct {
		name  string
		rooms []string
		id    string
		last  int
		want  []string
		gap   gapReason
	}{
		{"without an id", []string{"a"}, "", 0, nil, ""},
		{"the newest two", []string{"a"}, "", 2, ids[3:], ""},
		{"more than are kept", []string{"a"}, "", 100, ids[2:], ""},
		{"the newest two of both rooms", []string{"b", "a"}, "", 2, []string{ids[4], other}, ""},
		{"after the newest", []string{"a"}, ids[4], 0, nil, ""},
		{"after one that is kept", []string{"a"}, ids[2], 0, ids[3:], ""},
		{"after one that is gone, with all that follows", []string{"a"}, ids[1], 0, ids[2:], ""},
		{"after one that is gone, with others", []string{"a"}, ids[0], 0, ids[2:], gapExpired},
		{"an id goes before last", []string{"a"}, ids[3], 2, ids[4:], ""},
		{"after another room's id", []string{"b"}, ids[0], 0, []string{other}, ""},
		{"with a room more", []string{"a", "b"}, ids[3], 0, []string{ids[4], other}, ""},
		{"with two rooms, one of which lost some", []string{"a", "b"}, ids[0], 0, []string{ids[2], ids[3], ids[4], other}, gapExpired},
		{"from before all", []string{"a"}, before, 0, ids[2:], gapExpired},
		{"from before a restart", []string{"a"}, "17", 0, ids[2:], gapUnknown},
		{"from the future", []string{"a"}, future, 0, ids[2:], gapUnknown},
		{"of another system", []string{"a"}, "urn:uuid:5", 0, ids[2:], gapUnknown},
		{"of another system, in an empty room", []string{"c"}, "x", 0, nil, gapUnknown},
		{"in an empty room", []string{"c"}, ids[0], 0, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			sub := defaults(test.rooms...)
			sub.LastEventID, sub.Last = test.id, test.last
			s := b.mustSubscribe(t, sub)
			defer s.Close()
			got, gaps := split(t, s.pending(t))
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			oldest := ""
			if len(test.want) > 0 {
				oldest = test.want[0]
			}
			if want := (gapData{test.gap, oldest}); test.gap != "" && (len(gaps) != 1 || gaps[0] != want) || test.gap == "" && len(gaps) > 0 {
				t.Errorf("gaps %v, want %v", gaps, want)
			}
		})
	}
}

type gapData struct {
	Reason gapReason
	Oldest string
}

// split separates the ids of messages from the gaps.
func split(t testing.TB, stream string) (ids []string, gaps []gapData) {
	t.Helper()
	for _, e := range chattest.ParseStream(stream) {
		switch e.Name {
		case "":
			ids = append(ids, e.Message(t).ID)
		case "gap":
			var gap gapData
			e.Decode(t, &gap)
			gaps = append(gaps, gap)
		default:
			t.Fatalf("nobody asked for %+v", e)
		}
	}
	return ids, gaps
}

// Any sequence of publishing, reading, dropping out and coming back gives each
// reader every message of its rooms once, in order, or tells it of a gap where
// one is due.
func TestReplayAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		program := make([]byte, 600)
		for i := range program {
			program[i] = byte(random.Uint32())
		}
		if t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runReplay(t, program) }); t.Failed() {
			return
		}
	}
}

// The same on disk.
func TestReplayOnDiskAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 11))
		program := make([]byte, 600)
		for i := range program {
			program[i] = byte(random.Uint32())
		}
		if t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runReplayOn(t, program, newDiskHub) }); t.Failed() {
			return
		}
	}
}

func FuzzReplay(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(binary.BigEndian.AppendUint64(nil, seed*0x9e3779b97f4a7c15))
	}
	f.Fuzz(runReplay)
}

// modelReader is what a reader should see.
type modelReader struct {
	sub    *Subscriber
	rooms  []string
	cursor store.ID // the newest it was sent, or where it began
	// strange is set until the first read of a reader whose id says nothing.
	strange gapReason
	// fresh is set if the first read may have a gap for what retention has
	// removed, rather than for being slow.
	fresh bool
	// native is set until the first read of one who is told where it begins.
	native bool
	// excused is what it was told that it will not get.
	excused map[store.ID]bool
}

// due returns what a reader should get yet.
func (m *replayModel) due(r *modelReader) []store.ID {
	return slices.DeleteFunc(m.between(r.cursor, store.MaxID, r.rooms), func(id store.ID) bool { return r.excused[id] })
}

// replayModel is a hub in which nothing is ever thrown away, but for a note.
type replayModel struct {
	*Hub
	t         testing.TB
	messages  []*store.Message
	gone      map[store.ID]bool // by retention
	deleted   map[store.ID]bool
	retain    int
	readers   []*modelReader
	lastSeens []store.ID
	reads     int
}

func (m *replayModel) trim(room string) {
	kept := 0
	for _, msg := range slices.Backward(m.messages) {
		if msg.Room != room || m.deleted[msg.ID] || m.gone[msg.ID] {
			continue
		}
		if kept++; kept > m.retain {
			m.gone[msg.ID] = true
		}
	}
}

var modelRooms = []string{"a", "b", "c", "d"}

func runReplay(t *testing.T, program []byte) { runReplayOn(t, program, newTestHub) }

func runReplayOn(t *testing.T, program []byte, open func(testing.TB, store.Limits) *Hub) {
	m := &replayModel{
		Hub: open(t, store.Limits{Count: 8, Rooms: 100}), t: t, retain: 8,
		gone: map[store.ID]bool{}, deleted: map[store.ID]bool{},
	}
	m.sizes = bounds{
		batch: 200, page: 3, ringMessages: 3, ringBytes: 1 << 10, floodMessages: 6, floodBytes: 2 << 10,
		floodTime: time.Minute, allRingBytes: 4 << 10, crowdedMessages: 2,
	}
	origin := m.store.State().Origin
	m.lastSeens = []store.ID{origin}
	pop := func() int {
		if len(program) == 0 {
			return 0
		}
		x := program[0]
		program = program[1:]
		return int(x)
	}
	someRooms := func() []string {
		first := pop() % len(modelRooms)
		return modelRooms[first:min(len(modelRooms), first+1+pop()%3)]
	}
	for len(program) > 0 {
		switch op := pop() % 16; {
		case op < 6: // a burst
			room := modelRooms[pop()%3]
			drafts := make([]store.Draft, 1+pop()%6)
			for i := range drafts {
				drafts[i].Text = "x"
			}
			receipts, err := m.Publish(t.Context(), room, drafts...)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range receipts {
				m.messages = append(m.messages, r.Message)
			}
			m.trim(room)
		case op < 8: // one comes new
			sub := defaults(someRooms()...)
			reader := &modelReader{rooms: sub.Rooms, cursor: *m.latest.Load()}
			if pop()%2 == 0 {
				sub.Last = pop() % 12
				if tail := m.tail(sub.Rooms, sub.Last); len(tail) > 0 {
					reader.cursor = tail[0].Prev()
				}
				reader.excused = maps.Clone(m.gone) // it asked for no more than is kept
			}
			sub.Native = pop()%2 == 0
			reader.native = sub.Native
			m.join(reader, sub)
		case op < 10: // one comes back
			sub := defaults(someRooms()...)
			id := m.lastSeens[pop()%len(m.lastSeens)]
			reader := &modelReader{rooms: sub.Rooms, cursor: id, fresh: true}
			switch pop() % 8 {
			case 0: // from another log
				id, reader.strange = m.store.State().Latest.Next(), gapUnknown
				if m.store.State().Durable {
					reader.strange = gapRollback
				}
			case 1:
				id, reader.strange = origin.Prev(), gapUnknown
			}
			sub.LastEventID = id.String()
			m.join(reader, sub)
		case op < 13: // one reads a little
			if len(m.readers) > 0 {
				m.step(m.readers[pop()%len(m.readers)])
			}
		case op == 13: // one drops out
			if len(m.readers) > 0 {
				i := pop() % len(m.readers)
				if cursor := m.readers[i].cursor; !cursor.IsZero() {
					m.lastSeens = append(m.lastSeens, cursor)
				}
				m.readers[i].sub.Close()
				m.readers = slices.Delete(m.readers, i, i+1)
			}
		case op == 14 && len(m.messages) > 0: // moderation
			id := m.messages[pop()%len(m.messages)].ID
			if m.store.Delete(t.Context(), id) == nil {
				m.deleted[id] = true
			}
		case op == 15: // another retention
			m.retain = pop() % 12
			m.Limit(store.Limits{Count: m.retain, Rooms: 100})
			for _, room := range modelRooms {
				m.trim(room)
			}
		}
	}
	for _, r := range m.readers {
		for m.step(r) {
		}
		if missing := m.due(r); len(missing) > 0 {
			t.Fatalf("a reader of %v at %v has nothing more to read, but there are %v", r.rooms, r.cursor, missing)
		}
		r.sub.Close()
	}
}

func (m *replayModel) join(r *modelReader, sub *Subscription) {
	r.sub = m.mustSubscribe(m.t, sub)
	if r.excused == nil {
		r.excused = make(map[store.ID]bool)
	}
	m.readers = append(m.readers, r)
	m.step(r) // as the handler does before anything else happens
}

// between returns what was published in rooms and not deleted.
func (m *replayModel) between(after, upTo store.ID, rooms []string) (ids []store.ID) {
	for _, msg := range m.messages {
		if slices.Contains(rooms, msg.Room) && msg.ID.After(after) && !msg.ID.After(upTo) && !m.deleted[msg.ID] {
			ids = append(ids, msg.ID)
		}
	}
	return ids
}

func (m *replayModel) tail(rooms []string, n int) []store.ID {
	kept := slices.DeleteFunc(m.between(store.ID{}, store.MaxID, rooms), func(id store.ID) bool { return m.gone[id] })
	return kept[max(0, len(kept)-n):]
}

// step has a reader read once and compares with what it should get.
func (m *replayModel) step(r *modelReader) (more bool) {
	t := m.t
	t.Helper()
	out := m.read(r.sub)
	strange, fresh := r.strange, r.fresh
	r.strange, r.fresh = gapNone, false
	events := chattest.ParseStream(string(out.Bytes))
	if r.native {
		r.native = false
		if len(events) == 0 || events[0] != (chattest.Event{Name: "start", ID: string(r.cursor.Append(nil)), Data: string(r.cursor.Append(nil))}) {
			t.Fatalf("a browser that begins at %v got %+v", r.cursor, events)
		}
		events = events[1:]
	}
	for i, e := range events {
		if e.Name == "" {
			id := chattest.MustID(t, e.ID)
			want := m.due(r)
			if i, _ := slices.BinarySearchFunc(want, id, store.ID.Compare); i > 0 || !id.After(r.cursor) ||
				len(m.between(id.Prev(), id, r.rooms)) == 0 {
				t.Fatalf("a reader of %v at %v got %v, want %v", r.rooms, r.cursor, id, want)
			}
			r.cursor = id
			continue
		}
		want := gapSlow
		switch {
		case i == 0 && strange != gapNone:
			want = strange
			r.cursor = store.ID{}
		case fresh:
			want = gapExpired
		}
		missed := 0
		for _, id := range m.due(r) {
			if m.gone[id] {
				r.excused[id] = true
				missed++
			}
		}
		var gap gapData
		if e.Decode(t, &gap); missed == 0 && want != gapUnknown && want != gapRollback {
			t.Fatalf("a reader of %v at %v was told %v, but nothing is missing", r.rooms, r.cursor, gap)
		}
		oldest := ""
		if kept := m.due(r); len(kept) > 0 {
			oldest = kept[0].String()
		}
		if e.Name != "gap" || gap.Reason != want || gap.Oldest != oldest || e.ID != "" {
			t.Fatalf("a reader of %v got %+v, want a gap for %q, oldest %q", r.rooms, e, want, oldest)
		}
	}
	if strange != gapNone && !containsGap(out.Bytes) {
		t.Fatalf("an id of another log was taken for one of ours")
	}
	return len(out.Bytes) > 0
}

// read reads once, as a stream of its own does, or as a sender whose socket
// takes only a part.
func (m *replayModel) read(s *Subscriber) Batch {
	m.reads++
	s.chunked = m.reads%2 == 0
	out := m.readOnce(s)
	if s.chunked {
		out.Bytes = []byte(chattest.Dechunk(m.t, string(out.Bytes)))
	}
	return out
}

func (m *replayModel) readOnce(s *Subscriber) Batch {
	if s.start != nil || m.reads%3 == 0 {
		return s.Next(m.t.Context(), nil)
	}
	out, deep := s.NextNow(new(Buffer))
	for deep { // a page may end where the rings do not begin yet
		if out = s.NextStored(m.t.Context(), new(Buffer)); len(out.Bytes) > 0 {
			break
		}
		out, deep = s.NextNow(new(Buffer))
	}
	if n := m.reads * 7919 % (len(out.Bytes) + 1); n < len(out.Bytes) {
		rest := s.TakeBack(&out, n)
		out.Bytes = slices.Concat(out.Bytes[:n], rest)
	}
	return out
}

func containsGap(stream []byte) bool {
	return slices.ContainsFunc(chattest.ParseStream(string(stream)), func(e chattest.Event) bool { return e.Name == "gap" })
}

// With publishers, readers who drop out, and rooms that change, all at once
// and for real, each reader still sees each message once and in order.
func TestReplayUnderLoad(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { testReplayUnderLoad(t, newTestHub) })
	t.Run("on disk", func(t *testing.T) { testReplayUnderLoad(t, newDiskHub) })
}

func testReplayUnderLoad(t *testing.T, open func(testing.TB, store.Limits) *Hub) {
	b := open(t, store.Limits{Count: 100_000, Rooms: 100})
	const publishers, each, readers = 8, 400, 40
	start := b.store.State().Latest
	var wg sync.WaitGroup
	stopped := make(chan struct{})
	results := make([][]string, readers)
	for i := range readers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			cursor := start.String()
			for done := false; !done; {
				sub := defaults(modelRooms[:1+i%3]...)
				sub.LastEventID = cursor
				s := b.mustSubscribe(t, sub)
				for n := random.IntN(30); n > 0; n-- {
					select { // before the read, so that the last one sees all
					case <-stopped:
						done = true
					default:
					}
					out := s.Next(t.Context(), nil)
					ids, gaps := split(t, string(out.Bytes))
					if len(gaps) > 0 {
						t.Errorf("a gap without a loss: %v", gaps)
					}
					if len(ids) > 0 {
						cursor = ids[len(ids)-1]
						results[i] = append(results[i], ids...)
						done = false
						continue
					}
					if done {
						break
					}
					select {
					case <-s.Wake:
					case <-time.After(time.Millisecond):
					}
				}
				s.Close()
			}
		})
	}
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				b.mustPublish(t, modelRooms[(p+i)%3], "x")
			}
		})
	}
	publishing.Wait()
	close(stopped)
	wg.Wait()
	for i, got := range results {
		var want []string
		span := store.Span{Rooms: modelRooms[:1+i%3], After: start, UpTo: store.MaxID}
		page, err := b.store.After(t.Context(), span, publishers*each)
		if err != nil {
			t.Fatal(err)
		}
		for _, msg := range page.Messages {
			want = append(want, msg.ID.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("reader %d got %d messages, want %d, or not in order", i, len(got), len(want))
		}
	}
}

// What is too old is lost to those who lack it, and to nobody else, also while
// it is still in memory.
func TestResumeAfterWhatIsTooOld(t *testing.T) {
	for _, read := range []bool{false, true} {
		t.Run(fmt.Sprint("with a reader: ", read), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestHub(t, store.Limits{Count: 10, Age: time.Minute, Rooms: 10})
				if read {
					defer b.mustSubscribe(t, defaults("a")).Close()
				}
				first, second := b.mustPublish(t, "a", "x"), b.mustPublish(t, "a", "x")
				time.Sleep(2 * time.Minute)
				third := b.mustPublish(t, "a", "x").String()
				for id, lost := range map[store.ID]bool{first: true, second: false} {
					sub := defaults("a")
					sub.LastEventID = id.String()
					s := b.mustSubscribe(t, sub)
					got, gaps := split(t, s.pending(t))
					if !slices.Equal(got, []string{third}) || lost != slices.Equal(gaps, []gapData{{gapExpired, third}}) || !lost && len(gaps) > 0 {
						t.Errorf("after %s: %v, gaps %v", id, got, gaps)
					}
					s.Close()
				}
			})
		})
	}
}
