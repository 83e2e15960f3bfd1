package fifo

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQueueEqualsANaiveModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q Queue[int]
	var model []int
	for step := range 20_000 {
		// it grows for a while, and then shrinks until it is empty
		if grows := step < 8_000; random.IntN(4) == 0 == grows && len(model) > 0 {
			if got := q.Shift(); got != model[0] {
				t.Fatalf("step %d: %d comes out, want %d", step, got, model[0])
			}
			model = model[1:]
		} else {
			q.Push(step)
			model = append(model, step)
		}
		if q.Len() != len(model) {
			t.Fatalf("step %d: the length is %d, want %d", step, q.Len(), len(model))
		}
		if step%500 == 0 && !slices.Equal(q.All(), model) {
			t.Fatalf("step %d: the queue is %v, want %v", step, q.All(), model)
		}
	}
}

func TestQueueFreesWhatIsGone(t *testing.T) {
	var q Queue[int]
	const n = 100_000
	for i := range n {
		q.Push(i)
	}
	for range n - 1 {
		q.Shift()
		if free := cap(q.buf) - len(q.buf) + q.head; free > q.Len()+n/2+1024 {
			t.Fatalf("of %d elements there is space for %d more", q.Len(), free)
		}
	}
	if cap(q.buf) > 4096 {
		t.Errorf("one element takes up space for %d", cap(q.buf))
	}
	q.Shift()
	if q.buf != nil {
		t.Errorf("an empty queue takes up space for %d", cap(q.buf))
	}
}
