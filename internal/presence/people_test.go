package presence

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Who has streams is what counting all streams each time says.
func TestPeopleAreWhereTheirStreamsAre(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		var p People
		open, left := make(map[string]int), make(map[string]int64)
		now := int64(1000)
		for step := range 1000 {
			person := fmt.Sprint(random.IntN(5))
			switch random.IntN(4) {
			case 0:
				p.Arrive(person)
				open[person]++
			case 1:
				if open[person] > 0 {
					p.Leave(person, now)
					if open[person]--; open[person] == 0 {
						left[person] = now
					}
				}
			default:
				now += int64(random.IntN(30))
			}
			want := Away
			if open[person] > 0 {
				want = Here
			} else if at, ok := left[person]; ok && now-at < ReturnWithin {
				want = Left
			}
			if got := p.Standing(person, now); got != want {
				t.Fatalf("seed %d, step %d: %s is %d, want %d", seed, step, person, got, want)
			}
		}
		for person, n := range open {
			for range n {
				p.Leave(person, now)
			}
		}
		if p.Expire(now + ReturnWithin); p.known != nil || p.left != nil {
			t.Fatalf("seed %d: all have gone, and %+v is left", seed, p)
		}
	}
	var p People
	p.Arrive("")
	if p.Leave("", 1); p.known != nil || p.Standing("", 1) != Away {
		t.Error("nobody in particular is counted")
	}
}
