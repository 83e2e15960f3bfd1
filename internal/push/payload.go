package push

import (
	"time"
	"unicode/utf8"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// notice is what is pushed of a message. It is immutable, and shared by all whom it is
// pushed to.
type notice struct {
	room, name, author, text string
	mentionable              string // see there
	id                       store.ID
	owner                    store.Owner
	at                       time.Time // when it came
}

// noticeOf returns what is pushed of a message.
func noticeOf(m *store.Message, at time.Time) *notice {
	post := m.Post()
	return &notice{
		room: m.Room, name: post.Name, author: post.Author, text: fit(post.Text, maxPlain), mentionable: mentionable(post.Text),
		id: m.ID, owner: m.Owner, at: at,
	}
}

// ellipsis ends a text that was cut.
const ellipsis = "…"

// payload returns the JSON that is pushed, at most maxPlain bytes. A text that is too long for
// that is cut between code points.
func (n *notice) payload() []byte {
	head := store.AppendString([]byte(`{"room":`), n.room)
	head = store.AppendField(head, `,"name":`, n.name)
	head = store.AppendField(head, `,"author":`, n.author)
	head = store.AppendField(head, `,"id":`, n.id.String())
	left := maxPlain - len(head) - len(`,"text":}`)
	return append(store.AppendField(head, `,"text":`, fit(n.text, left)), '}')
}

// fit returns as much of a text as has at most so many bytes as a JSON string.
func fit(text string, most int) string {
	if 2+6*len(text) <= most || len(store.AppendString(nil, text)) <= most {
		return text
	}
	most -= len(`""` + ellipsis)
	var escaped [16]byte
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		most -= len(store.AppendString(escaped[:0], text[i:i+size])) - len(`""`)
		if most < 0 {
			return text[:i] + ellipsis
		}
		i += size
	}
	return text
}
