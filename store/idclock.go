package store

// Clock assigns the ids of a hub: strictly increasing, even if the machine's
// clock is set back. The zero Clock is ready to use. It is not safe for
// concurrent use; the lock that orders a store's messages guards it.
type Clock struct {
	last ID
}

// Next assigns the id of a message that is stored at ms, in Unix milliseconds.
func (c *Clock) Next(ms int64) ID {
	if ms > c.last.Ms {
		c.last = ID{Ms: ms}
	} else {
		c.last = c.last.Next()
	}
	return c.last
}

// Last returns the newest id that was assigned or restored.
func (c *Clock) Last() ID { return c.last }

// Restore moves the clock forward to id, so that the next id is newer.
func (c *Clock) Restore(id ID) { c.last = Newest(c.last, id) }
