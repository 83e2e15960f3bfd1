package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/sse-chat/caddy-sse-chat/internal/jsonscan"
)

// rawMessage is the raw values of the keys of a message, a change or a signal; nil for a
// missing key.
type rawMessage struct {
	text, name, nonce, room, replyTo json.RawMessage
	event, data, signal              json.RawMessage
	append, react, unreact           json.RawMessage // of a change
}

// splitUTF8 is splitMessage for a body that must also be UTF-8.
func splitUTF8(body []byte) (rawMessage, error) {
	if i := invalidUTF8(body); i >= 0 {
		return rawMessage{}, fmt.Errorf("the message is not UTF-8: byte %d is 0x%X", i+1, body[i])
	}
	return splitMessage(body)
}

// splitMessage finds the raw values of a message. The last one of a repeated key
// counts.
//
// Unmarshaling into a map costs three times as much, which would be half the cost
// of a batch; into a struct, encoding/json takes "Text" for "text".
func splitMessage(body []byte) (rawMessage, error) {
	var raw rawMessage
	if !json.Valid(body) {
		return raw, fmt.Errorf("the message is not JSON: %w", JSONFault(body))
	}
	body = trimLeft(body, ' ')
	if body[0] != '{' {
		return raw, errNotObject
	}
	for key, value := range members(body) {
		switch key {
		case "text":
			raw.text = value
		case "name":
			raw.name = value
		case "nonce":
			raw.nonce = value
		case "room":
			raw.room = value
		case "reply_to":
			raw.replyTo = value
		case "event":
			raw.event = value
		case "signal":
			raw.signal = value
		case "data":
			raw.data = value
		case "append":
			raw.append = value
		case "react":
			raw.react = value
		case "unreact":
			raw.unreact = value
		}
	}
	return raw, nil
}

// members returns the keys of a JSON object and their raw values. The object must
// be valid.
func members(object []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for rest := object[1:]; ; {
			rest = trimLeft(rest, ',')
			if rest[0] == '}' {
				return
			}
			end := jsonscan.ValueEnd(rest)
			key := unquote(rest[:end])
			rest = trimLeft(rest[end:], ':')
			end = jsonscan.ValueEnd(rest)
			if !yield(key, rest[:end:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

// trimLeft removes leading white space and separators.
func trimLeft(s []byte, separator byte) []byte {
	for s[0] == ' ' || s[0] == '\t' || s[0] == '\r' || s[0] == '\n' || s[0] == separator {
		s = s[1:]
	}
	return s
}

// unquote returns the value of a valid JSON string.
func unquote(literal []byte) string {
	if bytes.IndexByte(literal, '\\') < 0 {
		return string(literal[1 : len(literal)-1]) // no escapes
	}
	var s string
	_ = json.Unmarshal(literal, &s)
	return s
}
