package wire

import (
	"fmt"
	"slices"
	"strings"
)

// maxEventBytes is the longest name of an event in bytes.
const maxEventBytes = 64

// reservedEvents are names that mean something to every EventSource, or are those of the
// chat's own events.
var reservedEvents = []string{
	"message", "open", "error", "hello", "start", "live", "ping", "presence", "change", "delete", "signal", "bye", "gap",
}

// CheckEvent returns an error if s cannot be the name of an event.
func CheckEvent(s string) error {
	if s == "" || len(s) > maxEventBytes || strings.ContainsFunc(s, func(r rune) bool { return notBase64URL(r) && r != '.' && r != ':' }) {
		return fmt.Errorf("event %.80q: must be 1 to %d characters of [A-Za-z0-9_.:-]", s, maxEventBytes)
	}
	if slices.Contains(reservedEvents, s) {
		return fmt.Errorf("event %q: the name has another meaning; these are taken: %s", s, strings.Join(reservedEvents, ", "))
	}
	return nil
}
