package presence

// ReturnWithin is how long a person counts as [Left] after the last stream has ended. It is
// longer than [LeaveAfter], because a page waits up to ten seconds before it reconnects.
const ReturnWithin = 120 // ticks

// Standing is whether a person has streams.
type Standing int

const (
	// Away is a person without streams.
	Away Standing = iota
	// Left is a person whose last stream ended less than [ReturnWithin] ago.
	Left
	// Here is a person with a stream.
	Here
)

// People counts the streams of people, in whatever rooms. The zero value is nobody. The caller
// guards it. Each call takes amortized constant time.
type People struct {
	known map[string]streams // by person, those who have just left included
	left  []departure        // oldest first
}

// streams is how many streams a person has, and if none, the tick at which the last ended.
type streams struct {
	open int
	left int64
}

type departure struct {
	person string
	at     int64 // tick
}

// Arrive counts a stream of a person. Those who are nobody in particular, "", are not counted.
func (p *People) Arrive(person string) {
	if person == "" {
		return
	}
	if p.known == nil {
		p.known = make(map[string]streams)
	}
	p.known[person] = streams{open: p.known[person].open + 1}
}

// Leave ends a stream that was counted.
func (p *People) Leave(person string, now int64) {
	p.Expire(now)
	if person == "" {
		return
	}
	s := streams{p.known[person].open - 1, now}
	p.known[person] = s
	if s.open == 0 {
		p.left = append(p.left, departure{person, now})
	}
}

// Expire forgets those who left at least [ReturnWithin] ago.
func (p *People) Expire(now int64) {
	n := 0
	for ; n < len(p.left) && now-p.left[n].at >= ReturnWithin; n++ {
		// not those who came back, nor those who then left again
		if s := p.known[p.left[n].person]; s.open == 0 && now-s.left >= ReturnWithin {
			delete(p.known, p.left[n].person)
		}
	}
	p.left = p.left[n:]
	if len(p.known) == 0 {
		*p = People{} // neither maps nor slices shrink
	}
}

// Standing returns whether a person has streams.
func (p *People) Standing(person string, now int64) Standing {
	p.Expire(now)
	s, known := p.known[person]
	switch {
	case !known:
		return Away
	case s.open == 0:
		return Left
	default:
		return Here
	}
}
