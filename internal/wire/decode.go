package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sse-chat/caddy-sse-chat/store"
)

var (
	// errNoText has the text of the original server.
	errNoText    = errors.New("text 필드를 채워주세요")
	errSignal    = errors.New("signal: send it by itself, as a JSON object, and not in a form or batch")
	errNotObject = errors.New(`the message must be a JSON object like {"text":"…"}; send several as application/x-ndjson, one per line`)
)

// MaxBody returns the length of the largest body of one message in bytes, whose texts may
// have maxText bytes: JSON may write each of them as six.
func MaxBody(maxText int) int64 { return 6*int64(maxText) + 4<<10 }

// MaxBatchBody returns the same for a batch of so many messages. Not all of their texts can
// be written so.
func MaxBatchBody(maxText, messages int) int64 { return int64(messages) * (int64(maxText) + 512) }

// fields are the fields of a message from JSON or a form.
type fields struct {
	text, name, nonce, room, replyTo, event string
	data                                    string // JSON on one line
	hasNonce, hasRoom, hasReplyTo, hasEvent bool
}

// DecodeMessage decodes a message from a JSON object with a text or data, and optionally
// a name, a nonce, the name of the event, the message that it replies to, and the room,
// which must be the one in the URL. It ignores unknown keys. It does not check the name. If
// the text, the data and the event together have more than maxText bytes, that is
// [store.ErrTooLong]; other errors say what is wrong with the message.
func DecodeMessage(body []byte, room string, maxText int) (store.Draft, error) {
	f, err := parseMessage(body)
	if err != nil {
		return store.Draft{}, err
	}
	return f.draft(room, maxText)
}

// parseMessage reads the fields of a JSON object.
func parseMessage(body []byte) (f fields, err error) {
	raw, err := splitUTF8(body)
	if err != nil {
		return f, err
	}
	if raw.signal != nil && string(raw.signal) != "null" {
		return f, errSignal
	}
	if f.data, err = dataField(raw.data); err != nil {
		return f, err
	}
	if f.text, err = f.textOf(raw.text); err != nil {
		return f, err
	}
	if f.event, f.hasEvent, err = optionalField("event", raw.event); err != nil {
		return f, err
	}
	if f.name, _, err = optionalField("name", raw.name); err != nil {
		return f, err
	}
	if f.nonce, f.hasNonce, err = optionalField("nonce", raw.nonce); err != nil {
		return f, err
	}
	if f.replyTo, f.hasReplyTo, err = optionalField("reply_to", raw.replyTo); err != nil {
		return f, err
	}
	f.room, f.hasRoom, err = optionalField("room", raw.room)
	return f, err
}

// textOf returns the text, which may be missing if there are data.
func (f *fields) textOf(raw json.RawMessage) (text string, err error) {
	if f.data != "" {
		text, _, err = optionalField("text", raw)
	} else {
		text, err = stringField("text", raw)
	}
	if errors.Is(err, errNotString) || err == nil && f.data == "" && isBlank(text) {
		err = errNoText
	}
	return text, err
}

// draft checks the fields and returns the message for a room.
func (f *fields) draft(room string, maxText int) (store.Draft, error) {
	draft := store.Draft{Text: f.text, Name: f.name, Nonce: f.nonce, Event: f.event, Data: f.data}
	if isBlank(f.text) && f.data == "" {
		return draft, errNoText
	}
	if err := draft.CheckLength(maxText); err != nil {
		return draft, err
	}
	if err := checkText(f.text); err != nil {
		return draft, err
	}
	if f.hasEvent {
		if err := CheckEvent(f.event); err != nil {
			return draft, err
		}
	}
	if f.hasReplyTo {
		var err error
		if draft.ReplyTo, err = parseReplyTo(f.replyTo); err != nil {
			return draft, err
		}
	}
	if err := f.checkRoom(room); err != nil {
		return draft, err
	}
	if f.hasNonce {
		return draft, CheckNonce(f.nonce)
	}
	return draft, nil
}

// checkRoom returns an error if the fields name another room than the URL, which may be
// the public lobby.
func (f *fields) checkRoom(room string) error {
	if f.hasRoom && f.room != room {
		return fmt.Errorf("room: the message says %.80q, but the URL names %q; a message goes to the room in its URL, /update?room=…", f.room, room)
	}
	return nil
}

// parseReplyTo parses the id of a message that need not be stored.
func parseReplyTo(s string) (store.ID, error) {
	id, err := store.ParseID(s)
	if err == nil && id.IsZero() {
		err = fmt.Errorf("id %q: no message has it", s)
	}
	if err != nil {
		return id, fmt.Errorf("reply_to: %w", err)
	}
	return id, nil
}

// checkText returns an error if s has a control character other than line ends and
// tabs.
func checkText(s string) error {
	for _, r := range s {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			return fmt.Errorf("text: the control character %U is not allowed", r)
		}
	}
	return nil
}

// invalidUTF8 returns the index of the first byte that is not UTF-8, or -1.
func invalidUTF8(s []byte) int {
	if utf8.Valid(s) {
		return -1
	}
	for i := 0; ; {
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
}

func isBlank(s string) bool { return strings.TrimFunc(s, isSpace) == "" }

// isSpace reports whether JavaScript's trim removes r.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' }

var errNotString = errors.New("must be a string")

// optionalField returns the string of a key, and whether the key is present and not
// null.
func optionalField(key string, value json.RawMessage) (s string, given bool, err error) {
	if value == nil || string(value) == "null" {
		return "", false, nil
	}
	s, err = stringField(key, value)
	return s, true, err
}

// stringField returns the string of a key.
func stringField(key string, value json.RawMessage) (string, error) {
	if len(value) == 0 || value[0] != '"' {
		return "", fmt.Errorf("%s: %w", key, errNotString)
	}
	if hasLoneSurrogate(value) {
		return "", fmt.Errorf("%s: has an unpaired surrogate", key)
	}
	return unquote(value), nil
}

// hasLoneSurrogate reports whether a JSON string has half of a surrogate pair,
// which encoding/json would silently replace with U+FFFD.
func hasLoneSurrogate(literal []byte) bool {
	for {
		i := bytes.IndexByte(literal, '\\')
		if i < 0 {
			return false
		}
		literal = literal[i:]
		r, ok := escapedRune(literal)
		if !ok {
			literal = literal[2:] // another escape, like \n or \\
			continue
		}
		literal = literal[6:]
		if !utf16.IsSurrogate(r) {
			continue
		}
		second, ok := escapedRune(literal)
		if !ok || utf16.DecodeRune(r, second) == unicode.ReplacementChar {
			return true
		}
		literal = literal[6:]
	}
}

// escapedRune decodes \uXXXX at the start of s.
func escapedRune(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(r), err == nil
}
