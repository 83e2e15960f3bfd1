package store

// Clock makes the ids of a hub: strictly increasing, and never back in time
// when the machine's clock is. The zero Clock is ready to use. It is not safe
// for concurrent use; the lock that orders a store's messages guards it.
type Clock struct {
	last ID
}

// Next returns the id of a message stored at ms, in Unix milliseconds.
func (c *Clock) Next(ms int64) ID {
	if ms > c.last.Ms {
		c.last = ID{Ms: ms}
	} else {
		c.last = c.last.Next()
	}
	return c.last
}

// Last returns the newest id that the clock knows.
func (c *Clock) Last() ID { return c.last }

// Restore moves the clock forward to id, so that the next id is newer.
func (c *Clock) Restore(id ID) { c.last = Newest(c.last, id) }
