package wire

import (
	"encoding/json"
	"errors"

	"github.com/sse-chat/caddy-sse-chat/store"
)

var errNoChange = errors.New(`a change must have one of "text" (with or without "data"), "data", "append", "react" and "unreact"`)

// DecodeChange decodes a change of a message in a room from a JSON object, without who
// makes it. A text of more than maxText bytes is [store.ErrTooLong]; other errors say what
// is wrong with the change.
func DecodeChange(body []byte, room string, maxText int) (store.Change, error) {
	c := store.Change{MaxText: maxText}
	raw, err := splitUTF8(body)
	if err != nil {
		return c, err
	}
	if err := decodeWhat(&c, &raw); err != nil {
		return c, err
	}
	var f fields
	if f.room, f.hasRoom, err = optionalField("room", raw.room); err != nil {
		return c, err
	}
	if err := f.checkRoom(room); err != nil {
		return c, err
	}
	var given bool
	if c.Nonce, given, err = optionalField("nonce", raw.nonce); err == nil && given {
		err = CheckNonce(c.Nonce)
	}
	return c, err
}

// decodeWhat decodes what is to change.
func decodeWhat(c *store.Change, raw *rawMessage) error {
	var kinds []string
	for _, what := range []struct {
		key   string
		value json.RawMessage
		kind  store.ChangeKind
	}{
		{"text", raw.text, store.Edit},
		{"append", raw.append, store.Append},
		{"react", raw.react, store.React},
		{"unreact", raw.unreact, store.Unreact},
	} {
		text, given, err := optionalField(what.key, what.value)
		if err != nil {
			return err
		}
		if given {
			c.Kind, c.Text = what.kind, text
			kinds = append(kinds, what.key)
		}
	}
	var err error
	if c.Data, err = dataField(raw.data); err != nil {
		return err
	}
	if c.Data != "" && len(kinds) == 0 {
		return checkData(c)
	}
	if len(kinds) != 1 || c.Data != "" && c.Kind != store.Edit {
		return errNoChange
	}
	return checkWhat(c)
}

// checkWhat returns an error if the text of a change is not allowed.
func checkWhat(c *store.Change) error {
	switch c.Kind {
	case store.React, store.Unreact:
		return CheckReaction(c.Text)
	case store.Append:
		if c.Text == "" {
			return errors.New("append: must not be empty")
		}
	default:
		c.HasText = true
		if isBlank(c.Text) && c.Data == "" {
			return errNoText
		}
	}
	if err := checkData(c); err != nil {
		return err
	}
	return checkText(c.Text)
}

// checkData returns an error if the text and the data are too long by themselves.
func checkData(c *store.Change) error {
	draft := store.Draft{Text: c.Text, Data: c.Data}
	return draft.CheckLength(c.MaxText)
}
