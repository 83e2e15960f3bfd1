package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Question is what a site is asked before something is stored.
type Question struct {
	Room, ClientIP, Method string
	// Messages are the messages that are to be stored, one unless IsBatch is set.
	Messages []*store.Draft
	IsBatch  bool
	// Change is what is to change in the message About; nil if messages are to be stored.
	Change *store.Change
	About  store.ID
	// Name and Author are who makes the change.
	Name, Author string
}

// AppendQuestion appends the JSON of a question.
func AppendQuestion(dst []byte, q *Question) []byte {
	dst = store.AppendString(append(dst, `{"room":`...), q.Room)
	switch {
	case q.Change != nil:
		dst = appendChange(append(dst, `,"message":`...), q)
	case q.IsBatch:
		dst = append(dst, `,"messages":[`...)
		for i, draft := range q.Messages {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendDraft(dst, draft)
		}
		dst = append(dst, ']')
	default:
		dst = appendDraft(append(dst, `,"message":`...), q.Messages[0])
	}
	dst = store.AppendString(append(dst, `,"client_ip":`...), q.ClientIP)
	dst = store.AppendString(append(dst, `,"method":`...), q.Method)
	return append(dst, '}')
}

func appendDraft(dst []byte, draft *store.Draft) []byte {
	dst = store.AppendString(append(dst, `{"text":`...), draft.Text)
	dst = store.AppendField(dst, `,"name":`, draft.Name)
	dst = store.AppendField(dst, `,"nonce":`, draft.Nonce)
	dst = store.AppendField(dst, `,"author":`, draft.Author)
	dst = store.AppendField(dst, `,"event":`, draft.Event)
	if draft.Data != "" {
		dst = append(append(dst, `,"data":`...), draft.Data...)
	}
	return append(store.AppendField(dst, `,"reply_to":`, draft.ReplyTo.String()), '}')
}

func appendChange(dst []byte, q *Question) []byte {
	c := q.Change
	dst = append(q.About.Append(append(dst, `{"id":"`...)), '"')
	switch {
	case c.Kind == store.Append:
		dst = store.AppendField(dst, `,"append":`, c.Text)
	case c.HasText:
		dst = store.AppendString(append(dst, `,"text":`...), c.Text)
	}
	if c.Data != "" {
		dst = append(append(dst, `,"data":`...), c.Data...)
	}
	dst = store.AppendField(dst, `,"name":`, q.Name)
	return append(store.AppendField(dst, `,"author":`, q.Author), '}')
}

// ApplyAnswer replaces what a site's answer to a question replaces in its messages or its
// change. An answer without a body replaces nothing. The errors say what is wrong with
// the answer; the messages and the change are then undefined.
func ApplyAnswer(answer []byte, q *Question, maxText int) error {
	if answer = bytes.TrimSpace(bytes.TrimPrefix(answer, []byte("\ufeff"))); len(answer) == 0 {
		return nil
	}
	switch {
	case q.Change != nil:
		return amendChange(q.Change, answer, maxText)
	case !q.IsBatch:
		return amendDraft(q.Messages[0], answer, maxText)
	}
	var each []json.RawMessage
	if err := json.Unmarshal(answer, &each); err != nil {
		return fmt.Errorf("must be an array, as it is about a batch: %w", err)
	}
	if len(each) != len(q.Messages) {
		return fmt.Errorf("has %d messages, but the batch has %d", len(each), len(q.Messages))
	}
	for i, draft := range q.Messages {
		if err := amendDraft(draft, each[i], maxText); err != nil {
			return fmt.Errorf("message %d: %w", i+1, err)
		}
	}
	return nil
}

// amendDraft replaces what an answer has in a draft, by the rules of what clients post.
func amendDraft(draft *store.Draft, answer []byte, maxText int) error {
	f, given, err := parseAmendment(answer, "text")
	if err != nil {
		return err
	}
	if given.text {
		draft.Text = f.text
	}
	if given.data {
		draft.Data = f.data
	}
	if given.event {
		draft.Event = f.event
	}
	if given.name {
		if draft.Name = f.name; f.name != "" {
			if err := CheckName(f.name); err != nil {
				return err
			}
		}
	}
	whole := fields{text: draft.Text, data: draft.Data, event: draft.Event, hasEvent: draft.Event != ""}
	_, err = whole.draft("", maxText)
	return err
}

// amendChange is amendDraft for a change. The text of an answer to an append is what is
// appended.
func amendChange(c *store.Change, answer []byte, maxText int) error {
	key := "text"
	if c.Kind == store.Append {
		key = "append"
	}
	f, given, err := parseAmendment(answer, key)
	switch {
	case err != nil:
		return err
	case given.name || given.event:
		return errors.New("a change can replace neither the name nor the event")
	case given.data && c.Kind == store.Append:
		return errors.New("an append can replace no data")
	}
	if given.text {
		c.Text = f.text
		c.HasText = c.Kind == store.Edit
	}
	if given.data {
		c.Data = f.data
	}
	draft := store.Draft{Text: c.Text, Data: c.Data}
	if err := draft.CheckLength(maxText); err != nil {
		return err
	}
	if c.Kind == store.Edit && c.Data == "" && isBlank(c.Text) || c.Kind == store.Append && c.Text == "" {
		return errNoText
	}
	return checkText(c.Text)
}

// givenFields are the fields that an answer has.
type givenFields struct{ text, name, event, data bool }

// parseAmendment parses what an answer replaces: an object with some of the keys text, name,
// event and data. If what it is about is called append, the text may be so too.
func parseAmendment(answer []byte, called string) (f fields, given givenFields, err error) {
	raw, err := splitUTF8(answer)
	if err != nil {
		return f, given, err
	}
	if called == "append" && (raw.text == nil || string(raw.text) == "null") {
		raw.text = raw.append
	}
	if f.text, given.text, err = optionalField("text", raw.text); err != nil {
		return f, given, err
	}
	if f.name, given.name, err = optionalField("name", raw.name); err != nil {
		return f, given, err
	}
	if f.event, given.event, err = optionalField("event", raw.event); err != nil {
		return f, given, err
	}
	if f.data, err = dataField(raw.data); err != nil {
		return f, given, err
	}
	given.data = f.data != ""
	if given.event && f.event == "" {
		err = errors.New("event: must not be empty")
	}
	return f, given, err
}
