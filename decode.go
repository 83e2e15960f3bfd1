package ssechat

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
	// errNoText has the words of the first server.
	errNoText    = errors.New("text 필드를 채워주세요")
	errNotObject = errors.New(`the message must be a JSON object like {"text":"…"}`)
	errTooLong   = errors.New("too long")
)

// decodeMessage reads a message as clients send it: a JSON object with a
// text, and perhaps a name and a nonce. Unknown keys are ignored. A text of
// more than maxText bytes is [errTooLong].
func decodeMessage(body []byte, maxText int) (store.Draft, error) {
	var draft store.Draft
	if !utf8.Valid(body) {
		return draft, errors.New("the message is not UTF-8")
	}
	raw, err := splitMessage(body)
	if err != nil {
		return draft, err
	}
	if draft.Text, err = stringField("text", raw.text); err != nil {
		if errors.Is(err, errNotString) {
			err = errNoText
		}
		return draft, err
	}
	if strings.TrimFunc(draft.Text, isSpace) == "" {
		return draft, errNoText
	}
	if len(draft.Text) > maxText {
		return draft, fmt.Errorf("text: %w, %d bytes are more than %d", errTooLong, len(draft.Text), maxText)
	}
	if err := checkText(draft.Text); err != nil {
		return draft, err
	}
	if draft.Name, _, err = optionalField("name", raw.name); err != nil {
		return draft, err
	}
	var given bool
	if draft.Nonce, given, err = optionalField("nonce", raw.nonce); err != nil {
		return draft, err
	}
	if given {
		return draft, checkNonce(draft.Nonce)
	}
	return draft, nil
}

// isSpace is what JavaScript's trim removes.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' }

var errNotString = errors.New("must be a string")

// optionalField returns the string of a key, and whether there is one.
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
		return "", fmt.Errorf("%s: has half of a surrogate pair", key)
	}
	return unquote(value), nil
}

// hasLoneSurrogate reports whether a JSON string has half a surrogate pair,
// which encoding/json would turn silently into U+FFFD.
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

// escapedRune reads \uXXXX at the start of s.
func escapedRune(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(r), err == nil
}
