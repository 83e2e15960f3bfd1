package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sse-chat/caddy-sse-chat/internal/jsonscan"
)

// dataField returns the data on one line, or "" if there are none.
func dataField(value json.RawMessage) (string, error) {
	if value == nil || string(value) == "null" {
		return "", nil
	}
	if err := checkValue(value); err != nil {
		return "", err
	}
	return compact(value), nil
}

// maxDepth is how deep data may be nested. Some parsers give up at a few hundred levels, and
// a history has levels of its own.
const maxDepth = 100

// checkValue returns an error if valid JSON is nested too deep, or has strings that no text
// may have.
func checkValue(value json.RawMessage) error {
	if hasLoneSurrogate(value) {
		return errors.New("data: has an unpaired surrogate")
	}
	depth := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("data: nested deeper than %d levels", maxDepth)
			}
		case '}', ']':
			depth--
		case '"':
			end := i + jsonscan.StringEnd(value[i:])
			if err := checkText(unquote(value[i:end])); err != nil {
				return fmt.Errorf("data: %w", err)
			}
			i = end - 1
		}
	}
	return nil
}

// compact returns valid JSON on one line, as parsers of streams need it.
func compact(value json.RawMessage) string {
	var b bytes.Buffer
	_ = json.Compact(&b, value)
	return lineEnds.Replace(b.String())
}

// lineEnds escapes what parsers that use Python's splitlines take for the end of a line.
var lineEnds = strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`, "\u0085", `\u0085`)
