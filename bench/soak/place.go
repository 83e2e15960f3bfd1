package main

import "fmt"

// place is where a reader is in a room. Messages of a room are numbered by who
// publishes them, so a reader knows which one has to come next.
type place struct {
	last uint64 // the number that came last
	// begins is whether any number from low to high may be next, because the
	// reader has just come and messages were under way.
	begins    bool
	low, high uint64
	// cut is whether the reader was told that messages are missing.
	cut bool
}

// begin is the place of one who comes for what is new: all up to acked was
// answered to its publisher before, and nothing after sent had been sent when
// the stream was open.
func begin(acked, sent uint64) place {
	return place{begins: true, low: acked + 1, high: sent + 1}
}

// take takes the next message, or says what is wrong with it. By now messages
// up to sent have been sent, of which the room keeps so many.
func (p *place) take(number, sent uint64, retain int) error {
	low, _ := p.next()
	high, last := p.latest(sent, retain), low-1
	p.begins, p.cut = false, false
	switch {
	case number < low && number <= p.last:
		return fmt.Errorf("%d came again or too late, after %d", number, last)
	case number < low:
		p.last = number
		return fmt.Errorf("%d came, which is from before the reader came; want %d at least", number, low)
	}
	p.last = number
	if number > high {
		return fmt.Errorf("%d came after %d, so %d are lost", number, last, number-high)
	}
	return nil
}

// next returns the numbers of which one has to come next.
func (p *place) next() (low, high uint64) {
	if p.begins {
		return p.low, p.high
	}
	return p.last + 1, p.last + 1
}

// latest returns the largest number that may come next.
func (p *place) latest(sent uint64, retain int) uint64 {
	_, high := p.next()
	if p.cut { // what is kept begins somewhere up to here
		high = max(high, oldest(sent, retain))
	}
	return high
}

// owed returns how many messages have to come when those up to last are all.
func (p *place) owed(last uint64, retain int) uint64 {
	if high := p.latest(last, retain); last >= high {
		return last - high + 1
	}
	return 0
}

// mayMiss reports whether the room may no longer keep the next message, when
// messages up to sent have been sent.
func (p *place) mayMiss(sent uint64, retain int) bool {
	low, _ := p.next()
	return oldest(sent, retain) > low
}

// mustMiss reports whether the room cannot keep the next message any more, when
// those up to acked are stored.
func (p *place) mustMiss(acked uint64, retain int) bool {
	_, high := p.next()
	return !p.cut && oldest(acked, retain) > high
}

// oldest returns the oldest message that a room keeps which holds those up to
// last.
func oldest(last uint64, retain int) uint64 {
	if last < uint64(retain) {
		return 1
	}
	return last - uint64(retain) + 1
}
