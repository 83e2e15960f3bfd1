package push

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/pushtest"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Whatever is said, whoever comes and goes, and whatever push services answer: nobody is pushed
// their own messages, nor anything old after something new, nor two of a room within the
// interval; and who is away at the end has got the newest of each room.
func TestPushesOfARandomDay(t *testing.T) {
	r := newRig(t)
	rooms, people := []string{"tea", "coffee", "cake"}, []string{"kim", "lee", "sam", "ann"}
	browsers := make(map[string]*pushtest.Browser)
	for _, person := range people {
		browsers[person] = r.service.Subscribe()
		r.put(browsers[person], person, func(s *Subscription) { s.Rooms = rooms })
	}
	answers := []http.HandlerFunc{
		nil, nil, nil,
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	random := rand.New(rand.NewPCG(1, 2))
	say := func(person, room string, n int) {
		r.Notify(store.NewMessage(store.ID{Ms: int64(n)}, room, store.Draft{Text: strconv.Itoa(n), Name: person, Owner: store.OwnerByName(person)}))
	}
	n := 0
	for begin := time.Now(); time.Since(begin) < 5*time.Second; time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) {
		person := people[random.IntN(len(people))]
		switch random.IntN(10) {
		case 0:
			r.is(person, presence.Standing(max(0, random.IntN(6)-3))) // mostly away
		case 1:
			browsers[person].Answer(answers[random.IntN(len(answers))])
		default:
			n++
			say(person, rooms[random.IntN(len(rooms))], n)
		}
	}
	for _, person := range people {
		r.is(person, presence.Away)
		browsers[person].Answer(nil)
	}
	newest := make(map[string]string)
	for _, room := range rooms {
		n++
		say("nobody", room, n)
		newest[room] = strconv.Itoa(n)
	}
	for person, b := range browsers {
		r.eventually(person+" has got the newest of each room", func() bool {
			for room, text := range newest {
				if !slices.ContainsFunc(b.Got(), func(p pushtest.Push) bool {
					return !p.Refused && p.Payload["room"] == room && p.Payload["text"] == text
				}) {
					return false
				}
			}
			return true
		})
		last := make(map[string]pushtest.Push)
		for _, p := range b.Got() {
			if p.Payload["name"] == person {
				t.Errorf("%s is pushed an own message: %v", person, p.Payload)
			}
			before, ok := last[p.Payload["room"]]
			if ok {
				if gap := p.At.Sub(before.At); gap < testInterval*9/10 {
					t.Errorf("%s is pushed %v %s after %v", person, p.Payload, gap, before.Payload)
				}
				old, _ := strconv.Atoi(before.Payload["text"])
				if now, _ := strconv.Atoi(p.Payload["text"]); now < old || now == old && !before.Refused {
					t.Errorf("%s is pushed %v after %v", person, p.Payload, before.Payload)
				}
			}
			last[p.Payload["room"]] = p
		}
	}
	r.eventually("nothing is under way", func() bool { return r.underWay.Load() == 0 })
	t.Logf("%d messages: %d sent, failed %s", n, r.Counts.Sent.Load(), fmt.Sprint(r.Counts.Failed()))
}
