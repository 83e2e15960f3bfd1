package push

// schedule is slots in the order in which they are due, a heap.
type schedule []*slot

func (q schedule) Len() int           { return len(q) }
func (q schedule) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q schedule) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements [heap.Interface].
func (q *schedule) Push(x any) {
	s := x.(*slot)
	s.index = len(*q)
	*q = append(*q, s)
}

// Pop implements [heap.Interface].
func (q *schedule) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return s
}
