package store

import "reflect"

var (
	messageSize = int(reflect.TypeFor[Message]().Size())
	pointerSize = int(reflect.TypeFor[*Message]().Size())
	changedSize = int(reflect.TypeFor[changed]().Size())
	noticeSize  = int(reflect.TypeFor[notice]().Size())
	kindSize    = int(reflect.TypeFor[Reaction]().Size()) + pointerSize // which the allocator adds
	ownerSize   = int(reflect.TypeFor[Owner]().Size())
)

// Size returns how many bytes of memory the message uses.
func (m *Message) Size() int {
	size := messageSize + cap(m.chunk) + stringSize(m.Owner)
	if m.notice != nil {
		size += noticeSize
	}
	if m.changed == nil {
		return size
	}
	size += changedSize
	for _, r := range m.changed.reactions {
		size += kindSize + stringSize(r.Kind) + cap(r.By)*ownerSize
		for _, owner := range r.By {
			size += stringSize(owner)
		}
	}
	return size
}

// stringSize returns how many bytes of memory a short string uses. The allocator puts the
// shortest into blocks of 16 bytes.
func stringSize[S ~string](s S) int { return (len(s) + 15) &^ 15 }

// Size returns how many bytes of memory the messages and the buffer use.
func (l *Log) Size() int {
	// the allocator rounds up to the next size class, by an eighth at most
	return l.size + len(l.buf)*pointerSize*9/8
}
