package store

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
)

// Draft is a message before it is stored.
type Draft struct {
	// Name is the author's name, or empty.
	Name string
	// Nonce identifies repeats: a second draft with the nonce of an earlier one,
	// from the same owner in the same room, is not stored. Empty for none.
	Nonce string
	// Owner may change the message, and separates the nonces of different authors.
	// Empty for anonymous authors, who can change nothing.
	Owner Owner
	// Author is the tag of the author's key, or empty if there was none.
	Author string
	// Text is valid UTF-8. It is only empty if there is Data.
	Text string
	// Event is the name of the event, or empty.
	Event string
	// Data is a JSON value on one line, or empty.
	Data string
	// ReplyTo is the message that this one replies to, or zero.
	ReplyTo ID
}

// CheckLength returns an error that wraps [ErrTooLong] if the text, the data and the
// event's name together have more than limit bytes, or so many lines that the message
// without an envelope would be too long for an event.
func (d *Draft) CheckLength(limit int) error {
	what := "text"
	if d.Data != "" || d.Event != "" {
		what = "text, data and event"
	}
	n := len(d.Text) + len(d.Data) + len(d.Event)
	if n > limit {
		return fmt.Errorf("%s: %w, %d bytes are more than %d", what, ErrTooLong, n, limit)
	}
	if n*(1+len(rawPrefix)) <= maxEvent {
		return nil
	}
	if raw := len(d.appendRaw(nil)); raw > maxEvent {
		return fmt.Errorf("%s: %w, the lines make an event of %d bytes, more than %d", what, ErrTooLong, raw, maxEvent)
	}
	return nil
}

// Post is what a message consists of now: what was published, and what has changed
// since.
type Post struct {
	Draft
	// Revision is the id of the last change, or zero if there was none.
	Revision ID
	// Edited is when the text or the data last changed, in Unix milliseconds, or 0.
	Edited int64
	// Reactions are in the order in which their kinds were first used. None is empty.
	Reactions []Reaction
}

// Reaction is a kind of reaction to a message and who has reacted so, first one first,
// each once.
type Reaction struct {
	Kind string
	By   []Owner
}

// Clone returns a copy that shares nothing that [Change.Apply] changes.
func (p Post) Clone() Post {
	p.Reactions = slices.Clone(p.Reactions)
	for i := range p.Reactions {
		p.Reactions[i].By = slices.Clone(p.Reactions[i].By)
	}
	return p
}

// Post returns what the message consists of. The result shares nothing with the
// message that may be changed.
func (m *Message) Post() Post {
	p := Post{Draft: Draft{Owner: m.Owner}}
	for key, value := range m.fields() {
		switch string(key) {
		case "text":
			p.Text = unquote(value)
		case "name":
			p.Name = unquote(value)
		case "nonce":
			p.Nonce = unquote(value)
		case "author":
			p.Author = unquote(value)
		case "event":
			p.Event = unquote(value)
		case "data":
			p.Data = string(value)
		case "reply_to":
			p.ReplyTo, _ = ParseID(unquote(value)) // it cannot fail, because it was encoded here
		}
	}
	if m.changed != nil {
		p.Revision, p.Edited, p.Reactions = m.changed.revision, m.changed.edited, m.changed.reactions
	}
	return p.Clone()
}

// fields yields the fields of the message's JSON with their values as they are there,
// except the reactions: these are last, and there may be many.
func (m *Message) fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for rest := m.JSON(); len(rest) > len("}") && !bytes.HasPrefix(rest, reactionsKey); {
			var key, value []byte
			if key, value, rest = cutField(rest); !yield(key, value) {
				return
			}
		}
	}
}

var reactionsKey = []byte(`,"reactions":`)
