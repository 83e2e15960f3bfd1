package store

import "sort"

// Log holds the messages of one room, oldest first, in a ring buffer that grows
// as needed. The zero Log is empty. It is not safe for concurrent use.
type Log struct {
	buf   []*Message
	head  int // index of the oldest message in buf
	len   int
	bytes int // sum of the lengths of all frames
	size  int // sum of [Message.Size]
}

// Len returns the number of messages.
func (l *Log) Len() int { return l.len }

// Bytes returns the sum of the lengths of all frames, in bytes.
func (l *Log) Bytes() int { return l.bytes }

// At returns message i, counted from the oldest, which is 0.
func (l *Log) At(i int) *Message { return *l.slot(i) }

func (l *Log) slot(i int) **Message {
	i += l.head
	if i >= len(l.buf) {
		i -= len(l.buf)
	}
	return &l.buf[i]
}

// Push adds the newest message.
func (l *Log) Push(m *Message) {
	if l.len == len(l.buf) {
		l.resize(max(4, 2*l.len))
	}
	l.len++
	*l.slot(l.len - 1) = m
	l.bytes += len(m.Frame())
	l.size += m.Size()
}

// Shift removes and returns the oldest message; there must be one.
func (l *Log) Shift() *Message {
	oldest := *l.slot(0)
	*l.slot(0) = nil
	l.head++
	if l.head == len(l.buf) {
		l.head = 0
	}
	l.len--
	l.bytes -= len(oldest.Frame())
	l.size -= oldest.Size()
	// free memory after a flood, but do not reallocate in a steady flow
	if len(l.buf) > 64 && l.len < len(l.buf)/8 {
		l.resize(len(l.buf) / 4)
	}
	return oldest
}

// After returns the index of the oldest message newer than id, or Len.
func (l *Log) After(id ID) int {
	// nearly all readers have all messages, or all but the newest
	for i := l.len; i > max(0, l.len-2); i-- {
		if !l.At(i - 1).ID.After(id) {
			return i
		}
	}
	return sort.Search(l.len, func(i int) bool { return l.At(i).ID.After(id) })
}

// Remove removes the message with that id and reports whether there was one.
func (l *Log) Remove(id ID) bool {
	i, ok := l.find(id)
	if !ok {
		return false
	}
	l.bytes -= len(l.At(i).Frame())
	l.size -= l.At(i).Size()
	for ; i < l.len-1; i++ {
		*l.slot(i) = *l.slot(i + 1)
	}
	*l.slot(l.len - 1) = nil
	l.len--
	return true
}

// Get returns the message with that id, or nil.
func (l *Log) Get(id ID) *Message {
	if i, ok := l.find(id); ok {
		return l.At(i)
	}
	return nil
}

// Replace replaces the message that has m's id by m, and reports whether there was one.
func (l *Log) Replace(m *Message) bool {
	i, ok := l.find(m.ID)
	if !ok {
		return false
	}
	l.bytes += len(m.Frame()) - len(l.At(i).Frame())
	l.size += m.Size() - l.At(i).Size()
	*l.slot(i) = m
	return true
}

// RemoveFunc removes the messages for which remove returns true.
func (l *Log) RemoveFunc(remove func(*Message) bool) {
	kept := 0
	for i := range l.len {
		m := l.At(i)
		if remove(m) {
			l.bytes -= len(m.Frame())
			l.size -= m.Size()
			continue
		}
		*l.slot(kept) = m
		kept++
	}
	for i := kept; i < l.len; i++ {
		*l.slot(i) = nil
	}
	l.len = kept
}

// find returns the index of the message with that id, and whether there is one.
func (l *Log) find(id ID) (int, bool) {
	i := l.After(id.Prev())
	return i, i < l.len && l.At(i).ID == id
}

// Clear removes all messages.
func (l *Log) Clear() { *l = Log{} }

func (l *Log) resize(size int) {
	buf := make([]*Message, size)
	for i := range l.len {
		buf[i] = l.At(i)
	}
	l.buf, l.head = buf, 0
}
