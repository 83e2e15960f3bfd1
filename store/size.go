package store

import "reflect"

var (
	messageSize = int(reflect.TypeFor[Message]().Size())
	pointerSize = int(reflect.TypeFor[*Message]().Size())
)

// Size returns how many bytes of memory the message uses.
func (m *Message) Size() int { return messageSize + cap(m.chunk) }

// Size returns how many bytes of memory the messages and the buffer use.
func (l *Log) Size() int {
	// the allocator rounds up to the next size class, by an eighth at most
	return l.size + len(l.buf)*pointerSize*9/8
}
