// Package fifo is a queue in one slice.
package fifo

// Queue holds elements in the order in which they were pushed. The zero Queue is
// empty. It is not safe for concurrent use.
type Queue[E any] struct {
	buf  []E
	head int // index of the oldest element in buf
}

// Len returns the number of elements.
func (q *Queue[E]) Len() int { return len(q.buf) - q.head }

// All returns the elements, oldest first. The slice is valid until the queue
// changes.
func (q *Queue[E]) All() []E { return q.buf[q.head:] }

// Push adds the newest element.
func (q *Queue[E]) Push(e E) { q.buf = append(q.buf, e) }

// Shift removes and returns the oldest element; there must be one.
func (q *Queue[E]) Shift() E {
	var none E
	oldest := q.buf[q.head]
	q.buf[q.head] = none // it may point to memory that can be freed
	q.head++
	switch {
	case q.head == len(q.buf):
		*q = Queue[E]{}
	case q.head > 1024 && q.head > len(q.buf)/2:
		// free what is empty, but move the rest only when that is the smaller part
		q.buf, q.head = append([]E(nil), q.buf[q.head:]...), 0
	}
	return oldest
}
