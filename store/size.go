package store

import "reflect"

var (
	messageSize = int(reflect.TypeFor[Message]().Size())
	pointerSize = int(reflect.TypeFor[*Message]().Size())
	changedSize = int(reflect.TypeFor[changed]().Size())
	noticeSize  = int(reflect.TypeFor[notice]().Size())
	kindSize    = int(reflect.TypeFor[Reaction]().Size())
	ownerSize   = int(reflect.TypeFor[Owner]().Size())
)

// Size returns how many bytes of memory the message uses.
func (m *Message) Size() int {
	size := messageSize + cap(m.chunk) + len(m.Owner)
	if m.notice != nil {
		size += noticeSize
	}
	if m.changed == nil {
		return size
	}
	size += changedSize
	for _, r := range m.changed.reactions {
		size += kindSize + len(r.Kind) + cap(r.By)*ownerSize
		for _, owner := range r.By {
			size += len(owner)
		}
	}
	return size
}

// Size returns how many bytes of memory the messages and the buffer use.
func (l *Log) Size() int {
	// the allocator rounds up to the next size class, by an eighth at most
	return l.size + len(l.buf)*pointerSize*9/8
}
