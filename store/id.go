// Package store defines where a hub keeps its messages: the message and its
// id, and the interface that every store implements. It knows neither HTTP nor
// Caddy; stores live in the packages below it.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ID names one message of a hub and orders all of them. It is written
// "<ms>" or "<ms>-<n>", and clients take it for an opaque word.
//
// The zero ID is older than every message.
type ID struct {
	// Ms is the message's timestamp in Unix milliseconds, never negative.
	Ms int64
	// N tells messages of one millisecond apart.
	N uint64
}

// MaxID is newer than every message.
var MaxID = ID{Ms: math.MaxInt64, N: math.MaxUint64}

// maxIDLen is the length of the longest ID: two 64-bit numbers and a hyphen.
const maxIDLen = 19 + 1 + 20

var errIDForm = errors.New("an id is digits, or digits, a hyphen and digits")

// ParseID reads what [ID.String] wrote. Leading zeros do not matter.
func ParseID(s string) (ID, error) {
	if len(s) > maxIDLen {
		return ID{}, fmt.Errorf("id %.40q…: %w", s, errIDForm)
	}
	first, second, hyphen := strings.Cut(s, "-")
	ms, err := parseDigits(first, math.MaxInt64)
	if err != nil {
		return ID{}, fmt.Errorf("id %q: %w", s, err)
	}
	id := ID{Ms: int64(ms)}
	if !hyphen {
		return id, nil
	}
	if id.N, err = parseDigits(second, math.MaxUint64); err != nil {
		return ID{}, fmt.Errorf("id %q: %w", s, err)
	}
	return id, nil
}

// parseDigits is stricter than strconv, which also takes a sign.
func parseDigits(s string, limit uint64) (uint64, error) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, errIDForm
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > limit {
		return 0, errIDForm
	}
	return n, nil
}

// String returns the id as clients see it, or "" for the zero ID.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return string(id.Append(make([]byte, 0, maxIDLen)))
}

// Append appends the id as clients see it.
func (id ID) Append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, id.Ms, 10)
	if id.N == 0 {
		return dst
	}
	dst = append(dst, '-')
	return strconv.AppendUint(dst, id.N, 10)
}

// IsZero reports whether id is the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// Compare is negative if id is older than other, positive if it is newer.
func (id ID) Compare(other ID) int {
	if c := cmp.Compare(id.Ms, other.Ms); c != 0 {
		return c
	}
	return cmp.Compare(id.N, other.N)
}

// After reports whether id is newer than other.
func (id ID) After(other ID) bool { return id.Compare(other) > 0 }

// Prev returns the newest possible id older than id: a cursor there reads id
// next. The zero ID has none and is returned itself.
func (id ID) Prev() ID {
	switch {
	case id.N > 0:
		return ID{Ms: id.Ms, N: id.N - 1}
	case id.Ms > 0:
		return ID{Ms: id.Ms - 1, N: math.MaxUint64}
	default:
		return ID{}
	}
}

// Next returns the oldest possible id newer than id.
func (id ID) Next() ID {
	if id.N == math.MaxUint64 {
		return ID{Ms: id.Ms + 1}
	}
	return ID{Ms: id.Ms, N: id.N + 1}
}

// Newest returns the newer of two ids.
func Newest(a, b ID) ID {
	if a.After(b) {
		return a
	}
	return b
}
