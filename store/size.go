package store

import "reflect"

var (
	messageSize = int(reflect.TypeFor[Message]().Size())
	pointerSize = int(reflect.TypeFor[*Message]().Size())
)

// Size returns how many bytes of memory the message takes up.
func (m *Message) Size() int { return messageSize + cap(m.chunk) }

// Size returns how many bytes of memory the messages and the buffer take up.
func (l *Log) Size() int {
	// the allocator has classes of sizes, an eighth apart
	return l.size + len(l.buf)*pointerSize*9/8
}
