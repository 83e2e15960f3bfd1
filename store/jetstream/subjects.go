package jetstream

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// plain matches names that can be part of a subject unchanged.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// escape begins the token of a name that is not plain.
const escape = "~"

// token encodes a name as one token of a subject. NATS forbids dots, spaces and
// wildcards in a token, and some tools only handle ASCII.
func token(name string) string {
	if plain.MatchString(name) {
		return name
	}
	return escape + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// untoken is the inverse of token.
func untoken(token string) (string, error) {
	if plain.MatchString(token) {
		return token, nil
	}
	encoded, escaped := strings.CutPrefix(token, escape)
	name, err := base64.RawURLEncoding.DecodeString(encoded)
	if !escaped || err != nil || len(name) == 0 {
		return "", fmt.Errorf("%q does not name a room", token)
	}
	return string(name), nil
}

// subjects are the subjects of a stream.
type subjects struct{ prefix string }

func subjectsOf(stream string) subjects { return subjects{"sse_chat." + stream} }

// rooms matches the subjects of all rooms.
func (s subjects) rooms() string { return s.prefix + ".room.*" }

// room is the subject of one room.
func (s subjects) room(name string) string { return s.prefix + ".room." + token(name) }

// roomOf is the inverse of room. It reports false for other subjects.
func (s subjects) roomOf(subject string) (name string, ok bool) {
	t, ok := strings.CutPrefix(subject, s.prefix+".room.")
	if !ok {
		return "", false
	}
	name, err := untoken(t)
	return name, err == nil
}

// changes is the subject of changes, see [change].
func (s subjects) changes() string { return s.prefix + ".changes" }

// relay is the subject of one node's notices, which are not stored.
func (s subjects) relay(node string) string { return s.prefix + ".relay." + node }

// nodeOf is the inverse of relay.
func (s subjects) nodeOf(subject string) string {
	return strings.TrimPrefix(subject, s.prefix+".relay.")
}
