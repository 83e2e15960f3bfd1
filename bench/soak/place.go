package main

import "fmt"

// place is a reader's position in a room. The publisher numbers the messages of a
// room, so a reader knows the next one.
type place struct {
	last uint64 // the last number received
	// begins is whether any number from low to high may be next, because messages
	// were in flight when the reader connected.
	begins    bool
	low, high uint64
	// cut is whether the reader was told that messages are missing.
	cut bool
}

// begin returns the place of a reader that starts with new messages: those up to
// acked were acknowledged before, and none after sent had been sent when the
// stream was open.
func begin(acked, sent uint64) place {
	return place{begins: true, low: acked + 1, high: sent + 1}
}

// take checks the next message and returns an error if it is wrong. Messages up to
// sent have been sent by now, and the room keeps retain of them.
func (p *place) take(number, sent uint64, retain int) error {
	low, _ := p.next()
	high, last := p.latest(sent, retain), low-1
	p.begins, p.cut = false, false
	switch {
	case number < low && number <= p.last:
		return fmt.Errorf("%d arrived twice or out of order, after %d", number, last)
	case number < low:
		p.last = number
		return fmt.Errorf("%d arrived, which is older than the stream; want at least %d", number, low)
	}
	p.last = number
	if number > high {
		return fmt.Errorf("%d arrived after %d, so %d are lost", number, last, number-high)
	}
	return nil
}

// next returns the range of numbers of which one must be next.
func (p *place) next() (low, high uint64) {
	if p.begins {
		return p.low, p.high
	}
	return p.last + 1, p.last + 1
}

// latest returns the largest number that may be next.
func (p *place) latest(sent uint64, retain int) uint64 {
	_, high := p.next()
	if p.cut { // the oldest kept message is at or before this
		high = max(high, oldest(sent, retain))
	}
	return high
}

// owed returns the number of messages still to come if last is the final one.
func (p *place) owed(last uint64, retain int) uint64 {
	if high := p.latest(last, retain); last >= high {
		return last - high + 1
	}
	return 0
}

// mayMiss reports whether the room may have dropped the next message, after
// messages up to sent have been sent.
func (p *place) mayMiss(sent uint64, retain int) bool {
	low, _ := p.next()
	return oldest(sent, retain) > low
}

// mustMiss reports whether the room must have dropped the next message, after
// those up to acked have been stored.
func (p *place) mustMiss(acked uint64, retain int) bool {
	_, high := p.next()
	return !p.cut && oldest(acked, retain) > high
}

// oldest returns the oldest message that a room keeps if last is its newest one.
func oldest(last uint64, retain int) uint64 {
	if last < uint64(retain) {
		return 1
	}
	return last - uint64(retain) + 1
}
