package bolt

import (
	"encoding/binary"
	"strings"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// A message's record is a [store.Post]: a mark, the name, the nonce, each other field
// that is not empty after a byte that names it, and the text. The record of a message
// from format 1 is only the name, the nonce and the text, without the mark.

// postMark is a length that appendString never writes, so that no name begins so.
const postMark = "\x80\x00"

// The fields of a post. The text comes last.
const (
	textField     = 0
	ownerField    = 'o'
	authorField   = 'a'
	eventField    = 'e'
	dataField     = 'd'
	replyField    = 'r'
	revisionField = 'v'
	editedField   = 't'
	reactionField = 'k' // the kind, and the owners
)

func encodePost(p *store.Post) []byte {
	// all strings, and what is before them
	size := len(p.Name) + len(p.Nonce) + len(p.Owner) + len(p.Author) + len(p.Event) + len(p.Data) + len(p.Text) + 48
	b := append(make([]byte, 0, size), postMark...)
	b = appendString(b, p.Name)
	b = appendString(b, p.Nonce)
	b = appendField(b, ownerField, string(p.Owner))
	b = appendField(b, authorField, p.Author)
	b = appendField(b, eventField, p.Event)
	b = appendField(b, dataField, p.Data)
	b = appendIDField(b, replyField, p.ReplyTo)
	b = appendIDField(b, revisionField, p.Revision)
	if p.Edited != 0 {
		b = binary.BigEndian.AppendUint64(append(b, editedField, 8), uint64(p.Edited))
	}
	for _, r := range p.Reactions {
		size := stringLen(r.Kind)
		for _, owner := range r.By {
			size += stringLen(string(owner))
		}
		b = binary.AppendUvarint(append(b, reactionField), uint64(size))
		b = appendString(b, r.Kind)
		for _, owner := range r.By {
			b = appendString(b, string(owner))
		}
	}
	return append(append(b, textField), p.Text...)
}

// appendField appends a field, unless it is empty.
func appendField(dst []byte, field byte, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, field), value)
}

// appendIDField appends a field, unless the id is zero.
func appendIDField(dst []byte, field byte, id store.ID) []byte {
	if id.IsZero() {
		return dst
	}
	return appendID(append(dst, field, idLen), id)
}

// decodePost decodes a record of this format or of format 1. It shares nothing with b.
func decodePost(b []byte) (p store.Post, err error) {
	all, marked := strings.CutPrefix(string(b), postMark)
	if p.Name, all, err = cutString(all); err != nil {
		return p, err
	}
	if p.Nonce, all, err = cutString(all); err != nil {
		return p, err
	}
	for marked {
		if all == "" {
			return p, errLength
		}
		field := all[0]
		if all = all[1:]; field == textField {
			break
		}
		var value string
		if value, all, err = cutString(all); err != nil {
			return p, err
		}
		if err := decodeField(&p, field, value); err != nil {
			return p, err
		}
	}
	p.Text = all
	return p, nil
}

func decodeField(p *store.Post, field byte, value string) (err error) {
	switch field {
	case ownerField:
		// a message keeps its owner, but should not keep the whole record
		p.Owner = store.Owner(strings.Clone(value))
	case authorField:
		p.Author = value
	case eventField:
		p.Event = value
	case dataField:
		p.Data = value
	case replyField:
		p.ReplyTo, err = idField(value)
	case revisionField:
		p.Revision, err = idField(value)
	case editedField:
		if len(value) != 8 {
			return errLength
		}
		p.Edited = int64(binary.BigEndian.Uint64([]byte(value))) //nolint:gosec // as it was encoded
	case reactionField:
		var r store.Reaction
		r, err = decodeReaction(strings.Clone(value))
		p.Reactions = append(p.Reactions, r)
	default:
		return errKind
	}
	return err
}

func idField(value string) (store.ID, error) {
	if len(value) != idLen {
		return store.ID{}, errLength
	}
	return decodeID([]byte(value)), nil
}

func decodeReaction(value string) (r store.Reaction, err error) {
	if r.Kind, value, err = cutString(value); err != nil {
		return r, err
	}
	for value != "" {
		var owner string
		if owner, value, err = cutString(value); err != nil {
			return r, err
		}
		r.By = append(r.By, store.Owner(owner))
	}
	return r, nil
}

// stringLen is how many bytes appendString appends.
func stringLen(s string) int {
	n := 1 + len(s)
	for size := len(s); size >= 0x80; size >>= 7 {
		n++
	}
	return n
}

// getPost decodes a value of messagesBucket.
func getPost(key, value []byte) (store.Post, error) {
	payload, err := unseal(key, value)
	if err != nil {
		return store.Post{}, err
	}
	return decodePost(payload)
}
