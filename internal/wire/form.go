package wire

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const FormType = "application/x-www-form-urlencoded"

// IsForm reports whether a body that is said to be a form is one. curl says so
// of any body, JSON too. A form begins with a name, in which all but letters,
// digits and a few others is escaped; JSON, well or badly written, does not.
func IsForm(body []byte) bool {
	if len(body) == 0 {
		return false
	}
	c := body[0]
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '%'
}

// DecodeForm reads a message as decodeMessage does, from a form of the same
// fields. One that is empty was not filled in.
func DecodeForm(body []byte, room string, maxText int) (store.Draft, error) {
	f, err := parseForm(string(body))
	if err != nil {
		return store.Draft{}, err
	}
	return f.draft(room, maxText)
}

func parseForm(body string) (f fields, err error) {
	for pair := range strings.SplitSeq(strings.TrimRight(body, "\r\n"), "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key, err = unescapeForm(key); err != nil {
			return f, fmt.Errorf("form: %w", err)
		}
		if value, err = unescapeForm(value); err != nil {
			return f, fmt.Errorf("form field %.40q: %w", key, err)
		}
		switch key {
		case "text":
			// browsers send each line end of a form as CR LF
			f.text = strings.ReplaceAll(value, "\r\n", "\n")
		case "name":
			f.name = value
		case "nonce":
			f.nonce, f.hasNonce = value, value != ""
		case "room":
			f.room, f.hasRoom = value, value != ""
		}
	}
	return f, nil
}

// unescapeForm returns what a part of a form stands for, as a copy.
func unescapeForm(s string) (string, error) {
	plain, err := url.QueryUnescape(s)
	if escape, ok := errors.AsType[url.EscapeError](err); ok {
		return "", fmt.Errorf("%q must be %% and two hexadecimal digits; %% itself is %%25", string(escape))
	}
	if !utf8.ValidString(plain) {
		return "", errors.New("not UTF-8")
	}
	return strings.Clone(plain), err
}
