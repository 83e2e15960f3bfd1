package store

import (
	"encoding/json"
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
	text, rest := cutText(m.JSON())
	var fields struct {
		Name    string          `json:"name"`
		Nonce   string          `json:"nonce"`
		Author  string          `json:"author"`
		Event   string          `json:"event"`
		Data    json.RawMessage `json:"data"`
		ReplyTo string          `json:"reply_to"`
	}
	// it cannot fail, because the message was encoded here
	_ = json.Unmarshal(rest, &fields)
	p := Post{Draft: Draft{
		Name: fields.Name, Nonce: fields.Nonce, Owner: m.Owner, Author: fields.Author,
		Text: text, Event: fields.Event, Data: string(fields.Data),
	}}
	p.ReplyTo, _ = ParseID(fields.ReplyTo)
	if m.changed != nil {
		p.Revision, p.Edited, p.Reactions = m.changed.revision, m.changed.edited, m.changed.reactions
	}
	return p.Clone()
}
