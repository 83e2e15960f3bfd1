package store

import (
	"strconv"
)

// A notice tells readers who asked for named events that a message was changed or
// taken back. It is an entry of the log like a message: its id is the revision. There are
// two forms of a change. A delta is what is new, for readers who have the message as it
// was before; the whole is the message as it is now, for readers who have missed
// changes. Applying either of them twice changes nothing.

// notice is what a notice is about.
type notice struct {
	about ID
	kind  noticeKind
	// touches are the parts of the message that the notice changes, and replaces those
	// of which it has the whole.
	touches, replaces parts
	now               *Message // of a whole notice
}

type noticeKind uint8

const (
	deltaNotice     noticeKind = iota // what is new in a message
	wholeNotice                       // a changed message as it is now
	deletedNotice                     // a message is gone
	forgottenNotice                   // so are all of a room up to about
)

// parts are parts of a message.
type parts uint8

const (
	textPart parts = 1 << iota
	dataPart
	reactionsPart
	allParts = textPart | dataPart | reactionsPart
)

// IsNotice reports whether the entry is a notice and not a message.
func (m *Message) IsNotice() bool { return m.notice != nil }

// IsDelta reports whether the entry is a notice that adds to what readers have.
func (m *Message) IsDelta() bool { return m.notice != nil && m.notice.kind == deltaNotice }

// IsForgotten reports whether the entry says that the messages of a room up to About were
// forgotten.
func (m *Message) IsForgotten() bool { return m.notice != nil && m.notice.kind == forgottenNotice }

// About returns the id of the message that a notice is about, or of the newest one that
// was forgotten.
func (m *Message) About() ID { return m.notice.about }

// Whole returns the message as it was when the notice of its change was made, or nil for a
// notice that does not have all of it.
func (m *Message) Whole() *Message { return m.notice.now }

// Replaces reports whether the notice may supersede others.
func (m *Message) Replaces() bool { return m.notice.replaces != 0 }

// Withdraws reports whether nobody should get an earlier state of the message any more.
func (m *Message) Withdraws() bool { return m.notice.replaces&(textPart|dataPart) != 0 }

// Supersedes reports whether a reader who gets the notice m needs the earlier one no
// longer, so that nobody has to be told what m has replaced. Both must be notices of the
// same room.
func (m *Message) Supersedes(earlier *Message) bool {
	switch {
	case m.IsForgotten():
		return !earlier.notice.about.After(m.notice.about)
	case earlier.IsForgotten() || earlier.notice.about != m.notice.about:
		return false
	default:
		return earlier.notice.touches&^m.notice.replaces == 0
	}
}

// NewDelta encodes what a change has made new in a message. post is the message after
// the change.
func NewDelta(id ID, room string, c *Change, post *Post) *Message {
	what := notice{about: id, touches: c.parts()}
	if c.Kind != Append {
		what.replaces = what.touches
	}
	return newNotice(post.Revision, room, what, changeEvent, func(dst []byte) []byte {
		start := len(dst)
		switch c.Kind {
		case Append:
			dst = AppendString(append(dst, `,"append":`...), c.Text)
			at := utf16Len(post.Text) - utf16Len(c.Text)
			dst = strconv.AppendInt(append(dst, `,"at":`...), int64(at), 10)
		case Edit:
			if c.HasText {
				dst = AppendString(append(dst, `,"text":`...), post.Text)
			}
			if c.Data != "" {
				dst = append(append(dst, `,"data":`...), post.Data...)
			}
		default:
			return appendReactions(append(dst, `,"reactions":`...), start, post.Reactions)
		}
		return strconv.AppendInt(append(dst, `,"edited":`...), post.Edited, 10)
	})
}

// NewWhole encodes a changed message as it is now. The notice's id is that of a change,
// usually the last one.
func NewWhole(at ID, m *Message) *Message {
	return newNotice(at, m.Room, notice{m.ID, wholeNotice, allParts, allParts, m}, changeEvent, func(dst []byte) []byte {
		start := len(dst)
		for key, value := range m.fields() {
			switch string(key) {
			case "text", "data", "edited":
				dst = append(append(dst, `,"`...), key...)
				dst = append(append(dst, `":`...), value...)
			}
		}
		var reactions []Reaction
		if m.changed != nil {
			reactions = m.changed.reactions
		}
		return appendReactions(append(dst, `,"reactions":`...), start, reactions)
	})
}

// NewDeletion encodes that a message was deleted. at is the revision.
func NewDeletion(at ID, room string, id ID) *Message {
	return newNotice(at, room, notice{id, deletedNotice, allParts, allParts, nil}, deleteEvent, nil)
}

// NewForgotten encodes that all messages of a room up to through were removed. at is
// the revision.
func NewForgotten(at ID, room string, through ID) *Message {
	n := &Message{ID: at, Room: room, notice: &notice{through, forgottenNotice, allParts, allParts, nil}}
	n.setFrame(func(dst []byte) ([]byte, int) {
		dst, data := appendHead(dst, deleteEvent, at)
		dst = append(dst, '{')
		if room != Lobby {
			dst = append(AppendString(append(dst, `"room":`...), room), ',')
		}
		dst = through.Append(append(dst, `"through":"`...))
		return append(dst, "\"}\n\n"...), data
	})
	return n
}

const (
	changeEvent = "change"
	deleteEvent = "delete"
)

// newNotice encodes a notice about a message. fields, which may be nil, appends what the
// data has after the message's id and room.
func newNotice(at ID, room string, what notice, event string, fields func([]byte) []byte) *Message {
	n := &Message{ID: at, Room: room, notice: &what}
	n.setFrame(func(dst []byte) ([]byte, int) {
		dst, data := appendHead(dst, event, at)
		dst = append(dst, `{"id":"`...)
		dst = append(what.about.Append(dst), '"')
		dst = appendRoom(dst, room)
		if fields != nil {
			dst = fields(dst)
		}
		return append(dst, "}\n\n"...), data
	})
	return n
}

// appendHead appends the lines of a notice's event before its data, and returns where
// the data starts.
func appendHead(dst []byte, event string, at ID) ([]byte, int) {
	dst = append(append(dst, "event: "...), event...)
	dst = at.Append(append(dst, "\nid: "...))
	dst = append(dst, frameMiddle...)
	return dst, len(dst)
}

// utf16Len returns the length of valid UTF-8 as JavaScript counts it.
func utf16Len(s string) int {
	n := 0
	for i := range len(s) {
		if s[i]&0xc0 != 0x80 { // the first byte of a character
			n++
		}
		if s[i] >= 0xf0 { // of one that is a pair of surrogates
			n++
		}
	}
	return n
}
