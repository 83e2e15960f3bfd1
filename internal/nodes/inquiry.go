package nodes

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
)

const (
	// AnswerLimit is how long answers of peers are waited for.
	AnswerLimit = time.Second
	// maxAsked is how many people a question has, so that it fits into a notice.
	maxAsked = 1000
)

// Question asks which of some people have streams at the receiver's node.
type Question struct {
	Number string   `json:"number"` // random
	People []string `json:"people"`
}

// Answer is the answer to the question with that number. It has those with streams.
type Answer struct {
	Number string   `json:"number"`
	Here   []string `json:"here,omitempty"`
	Left   []string `json:"left,omitempty"` // people whose last stream has just ended
}

// AnswerWith returns the answer to a question: which people are [presence.Here] or
// [presence.Left].
func (q *Question) AnswerWith(standing map[string]presence.Standing) *Answer {
	a := &Answer{Number: q.Number}
	for person, s := range standing {
		if s == presence.Here {
			a.Here = append(a.Here, person)
		} else {
			a.Left = append(a.Left, person)
		}
	}
	return a
}

// Inquiries are the questions that wait for answers. The zero value is ready for use. Its
// methods are safe for concurrent use.
type Inquiries struct {
	mu   sync.Mutex // guards open and what is in it
	open map[string]*inquiry
}

// inquiry is one question.
type inquiry struct {
	people   []string // who is asked about
	missing  []string // peers that have not answered
	standing map[string]presence.Standing
	answered chan struct{} // closed when all have
}

// Ask asks peers about people, with tell, and returns those who have streams there. It waits
// until all have answered, but no longer than [AnswerLimit], nor than ctx. Where an answer is
// missing, everyone asked about is at least [presence.Left]: they may be there.
func (q *Inquiries) Ask(ctx context.Context, peers, people []string, tell func(Notice)) map[string]presence.Standing {
	ctx, cancel := context.WithTimeout(ctx, AnswerLimit)
	defer cancel()
	standing := make(map[string]presence.Standing)
	var asked []*inquiry
	for some := range slices.Chunk(people, maxAsked) {
		number := rand.Text()
		i := &inquiry{people: some, missing: slices.Clone(peers), standing: standing, answered: make(chan struct{})}
		q.begin(number, i)
		defer q.end(number)
		tell(Notice{Ask: &Question{number, some}})
		asked = append(asked, i)
	}
	for _, i := range asked {
		select {
		case <-i.answered:
		case <-ctx.Done():
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, i := range asked {
		if len(i.missing) == 0 {
			continue
		}
		for _, person := range i.people {
			standing[person] = max(standing[person], presence.Left)
		}
	}
	return maps.Clone(standing) // answers may still come, but not into this one
}

func (q *Inquiries) begin(number string, i *inquiry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = make(map[string]*inquiry)
	}
	q.open[number] = i
}

func (q *Inquiries) end(number string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, number)
}

// Hear takes the answer of a peer.
func (q *Inquiries) Hear(from string, a *Answer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := q.open[a.Number]
	if i == nil {
		return // the question of another node, or too late
	}
	for _, person := range a.Here {
		i.standing[person] = presence.Here
	}
	for _, person := range a.Left {
		i.standing[person] = max(i.standing[person], presence.Left)
	}
	place := slices.Index(i.missing, from)
	if place < 0 {
		return
	}
	if i.missing = slices.Delete(i.missing, place, place+1); len(i.missing) == 0 {
		close(i.answered)
	}
}
