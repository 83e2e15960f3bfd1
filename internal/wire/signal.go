package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// maxSignalBytes is the longest signal in bytes.
const maxSignalBytes = 32

// DecodeSignal decodes a signal for a room from a JSON object. It reports false if the
// object is none, but perhaps a message. It does not check the name.
func DecodeSignal(body []byte, room string) (s Signal, given bool, err error) {
	if !bytes.Contains(body, []byte(`"signal"`)) {
		return s, false, nil // most bodies are spared a second look
	}
	raw, err := splitUTF8(body)
	if err != nil || raw.signal == nil || string(raw.signal) == "null" {
		return s, false, nil //nolint:nilerr // decoding it as a message tells
	}
	if s.Signal, err = stringField("signal", raw.signal); err != nil {
		return s, true, err
	}
	if raw.text != nil && string(raw.text) != "null" {
		return s, true, errors.New("give text or signal, not both")
	}
	if s.Signal == "" || len(s.Signal) > maxSignalBytes || strings.ContainsFunc(s.Signal, notSignal) {
		return s, true, fmt.Errorf("signal %.40q: must be 1 to %d of a-z, _ and -", s.Signal, maxSignalBytes)
	}
	var f fields
	if f.room, f.hasRoom, err = optionalField("room", raw.room); err == nil {
		err = f.checkRoom(room)
	}
	if err == nil {
		s.Name, _, err = optionalField("name", raw.name)
	}
	return s, true, err
}

func notSignal(r rune) bool { return (r < 'a' || r > 'z') && r != '_' && r != '-' }
