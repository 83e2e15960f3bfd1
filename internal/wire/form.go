package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// FormType is the content type of forms.
const FormType = "application/x-www-form-urlencoded"

// IsForm reports whether a body with the content type of a form is one. curl
// declares any body to be one, even JSON. A form begins with a field name, in which
// everything but letters, digits and a few others is escaped; JSON does not, even
// if it is malformed.
func IsForm(body []byte) bool {
	if len(body) == 0 {
		return false
	}
	c := body[0]
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '%'
}

// DecodeForm is [DecodeMessage] for a form with the same fields. An empty field
// counts as missing.
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
			// browsers send each line end as CR LF
			f.text = strings.ReplaceAll(value, "\r\n", "\n")
		case "name":
			f.name = value
		case "nonce":
			f.nonce, f.hasNonce = value, value != ""
		case "room":
			f.room, f.hasRoom = value, value != ""
		case "signal":
			return f, errSignal
		case "reply_to":
			f.replyTo, f.hasReplyTo = value, value != ""
		case "event":
			f.event, f.hasEvent = value, value != ""
		case "data":
			if value != "" && !json.Valid([]byte(value)) {
				return f, fmt.Errorf("form field data: must be JSON: %w", JSONFault([]byte(value)))
			}
			if value == "" {
				continue
			}
			if f.data, err = dataField(json.RawMessage(value)); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// unescapeForm returns the value of a part of a form, as a copy.
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
