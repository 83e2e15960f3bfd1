package hub

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
)

// tellingWatcher is a watcher as its stream sees the room.
type tellingWatcher struct {
	seat
	heard   chattest.PresenceData // with the last names that were told
	at      int64                 // when it heard last
	namesAt int64                 // when it heard names last, but for its first event
	slow    bool                  // reads only now and then
}

func newTellingWatcher(r *room, who presence.Identity) *tellingWatcher {
	w := &tellingWatcher{seat: seat{room: r, sub: &Subscriber{Identity: who.Shared(), Events: true, Wake: make(chan struct{}, 1)}}}
	r.addSeat(&w.seat)
	return w
}

// listen does what the stream does when it is woken.
// fewAt is when the room had few names last.
func (w *tellingWatcher) listen(t *testing.T, now, fewAt int64) {
	select {
	case <-w.sub.Wake:
	default:
		return
	}
	if !w.seen.needsPresence(w.room.feed) || !w.seen.presenceDue(now) {
		return
	}
	content := w.presenceEvent(now)
	p := chattest.ParseStream(string(content))[0].Presence(t)
	if w.at != 0 && now-w.at < presenceEvery {
		t.Fatalf("told again after %d ticks", now-w.at)
	}
	w.at = now
	if p.Names == nil && p.Unnamed < p.Count {
		p.Names = w.heard.Names // which were not told
	} else {
		if fewAt < w.namesAt && now-w.namesAt < namesEvery-presenceEvery && !w.slow {
			t.Fatalf("%d names are told again after %d ticks", len(p.Names), now-w.namesAt)
		}
		if w.namesAt = now; w.heard.Count == 0 {
			w.namesAt = -namesEvery // all others may be told names soon after
		}
	}
	w.heard = p
}

// Whatever happens, each watcher hears of the latest before long, of no more
// than one event a second, and of many names no more than every 10 s.
func TestAllWatchersHearOfThePresenceAsItIs(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		names := []int{3, fewNames, 60, 200}[seed%4]
		r := &room{name: "a"}
		var watchers []*tellingWatcher
		var others []*seat
		now, fewAt := int64(1), int64(1)
		turn := func(calm bool) {
			now++
			r.presence.ExpireLeavers(now)
			r.announcePresence(now)
			if !r.presence.MoreNamesThan(fewNames) {
				fewAt = now
			}
			for _, w := range watchers {
				if calm || !w.slow || random.IntN(30) == 0 {
					w.listen(t, now, fewAt)
				}
			}
		}
		for range 1500 {
			switch random.IntN(12) {
			case 0:
				w := newTellingWatcher(r, aPerson(random, names))
				w.slow = random.IntN(4) == 0
				watchers = append(watchers, w)
			case 1, 2, 3:
				s := &seat{room: r, sub: &Subscriber{Identity: aPerson(random, names).Shared()}}
				r.addSeat(s)
				others = append(others, s)
			case 4:
				if len(watchers) > 0 {
					i := random.IntN(len(watchers))
					r.removeSeat(&watchers[i].seat, now)
					watchers = slices.Delete(watchers, i, i+1)
				}
			case 5, 6:
				if len(others) > 0 {
					i := random.IntN(len(others))
					r.removeSeat(others[i], now)
					others = slices.Delete(others, i, i+1)
				}
			default:
				turn(false)
			}
		}
		for range presence.LeaveAfter + presenceEvery + namesEvery + 2 {
			turn(true)
		}
		if r.announcePresence(now) {
			t.Errorf("seed %d: there is still something to tell", seed)
		}
		want, wantNames := r.presence.Total(), r.presence.AllNames()
		for i, w := range watchers {
			if got := (presence.Summary{Count: w.heard.Count, Unnamed: w.heard.Unnamed}); got != want || !slices.Equal(w.heard.Names, wantNames) {
				t.Fatalf("seed %d: watcher %d has heard of %+v and %d names, want %+v and %d", seed, i, got, len(w.heard.Names), want, len(wantNames))
			}
		}
	}
}

func TestAPresenceEventIsMadeOnceForAllWatchers(t *testing.T) {
	r := &room{name: "a"}
	now := int64(1)
	var watchers []*tellingWatcher
	for i := range 300 {
		watchers = append(watchers, newTellingWatcher(r, presence.Identity{Name: fmt.Sprint("n", i)}))
	}
	for range 3 {
		for _, w := range watchers {
			w.presenceEvent(now)
		}
		now += presenceEvery
		r.addSeat(&seat{room: r, sub: &Subscriber{Identity: &presence.Identity{Name: fmt.Sprint("new ", now)}}})
		r.announcePresence(now)
		first := watchers[0].presenceEvent(now)
		for _, w := range watchers[1:] {
			if other := w.presenceEvent(now); &other[0] != &first[0] {
				t.Fatalf("%q was made anew for another watcher", other)
			}
		}
	}
	for _, w := range watchers {
		r.removeSeat(&w.seat, now)
	}
	if r.announcePresence(now + presenceEvery); r.feed.whole.bytes != nil || r.feed.brief.bytes != nil {
		t.Error("an event is kept for nobody")
	}
}

// 300 watch a room whose list is full, and one stream a second comes and goes,
// each under another name: that was 2 MB/s, and 38 MB/s over 20 rooms.
func TestOneWhoComesAndGoesCostsWatchersLittle(t *testing.T) {
	for _, test := range []struct {
		name  string
		rooms int
		named int // of the watchers
		limit int // bytes a second and watcher
	}{
		{"one room, and a full list", 1, 300, 100},
		{"one room, and a list that changes", 1, 90, 1000},
		{"20 rooms", 20, 300, 20 * 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const watching, seconds = 300, 60
				b := newTestHub(t, plenty)
				var rooms []string
				for i := range test.rooms {
					rooms = append(rooms, fmt.Sprint("room", i))
				}
				var readers []*reader
				for i := range watching {
					name := ""
					if i < test.named {
						name = fmt.Sprintf("%s%04d", strings.Repeat("n", 60), i)
					}
					readers = append(readers, b.read(t, watcher(name, rooms...)))
				}
				time.Sleep(20 * time.Second)
				synctest.Wait()
				for _, r := range readers {
					r.take()
				}
				for i := range seconds {
					one := b.read(t, named(fmt.Sprintf("%s%04d", strings.Repeat("x", 60), i), rooms...))
					// no multiple of a tick, or who comes and who goes would cancel out
					time.Sleep(1037 * time.Millisecond)
					one.stop()
				}
				synctest.Wait()
				total, heard := 0, 0
				for _, r := range readers {
					got := r.take()
					total += len(got)
					heard += bytes.Count([]byte(got), []byte("event: presence\n"))
				}
				rate := total / seconds / watching
				t.Logf("%d bytes a second for all watchers, %d for each", total/seconds, rate)
				if rate > test.limit {
					t.Errorf("%d bytes a second and watcher, want no more than %d", rate, test.limit)
				}
				if perRoom := heard / watching / test.rooms; perRoom < seconds/5 || perRoom > seconds+1 {
					t.Errorf("%d events for each watcher and room in %d s", perRoom, seconds)
				}
				for _, r := range readers {
					r.stop()
				}
			})
		})
	}
}

// One who begins hears of what others are told a moment later. If that is
// changed back meanwhile, they need not be told, but the one who has begun does.
func TestWhoHasHeardOfAChangeHearsThatItWasChangedBack(t *testing.T) {
	r := &room{name: "a"}
	sit := func(name string) *seat {
		s := &seat{room: r, sub: &Subscriber{Identity: &presence.Identity{Name: name}}}
		r.addSeat(s)
		return s
	}
	first := newTellingWatcher(r, presence.Nobody)
	turn := func(now int64, watchers ...*tellingWatcher) {
		r.presence.ExpireLeavers(now)
		r.announcePresence(now)
		for _, w := range watchers {
			w.listen(t, now, now)
		}
	}
	sit("kim")
	sit("lee")
	second := sit("kim")
	r.removeSeat(second, 100)
	turn(140, first)
	begins := newTellingWatcher(r, presence.Identity{Name: "lee"}) // no new name, but the fifth
	turn(145, begins)
	if first.heard.Count != 4 || begins.heard.Count != 5 {
		t.Fatalf("%d and %d are told, want 4 and 5", first.heard.Count, begins.heard.Count)
	}
	turn(100+presence.LeaveAfter, first, begins) // when the others are to be told
	turn(160+presence.LeaveAfter, first, begins)
	if first.heard.Count != 4 || begins.heard.Count != 4 {
		t.Errorf("in the end %d and %d are told, want 4", first.heard.Count, begins.heard.Count)
	}
}

// aPerson is of a few, so that they meet often.
func aPerson(random *rand.Rand, names int) presence.Identity {
	var who presence.Identity
	if random.IntN(3) > 0 {
		who.Name = fmt.Sprint("n", random.IntN(names))
	}
	switch random.IntN(3) {
	case 0:
		who.Person = fmt.Sprint("tag", random.IntN(names))
	case 1:
		if who.Name != "" {
			who.Person = presence.PersonByName(who.Name)
		}
	}
	return who
}
