// Package store defines a message, its id, and the interface of the stores that
// keep a hub's messages. It knows neither HTTP nor Caddy. The stores are in the
// packages below it.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ID identifies a message of a hub; the messages of a hub are in the order of
// their ids. It is written "<ms>" or "<ms>-<n>"; to clients it is opaque.
//
// The zero ID is older than every message.
type ID struct {
	// Ms is the message's timestamp in Unix milliseconds, never negative.
	Ms int64
	// N distinguishes messages of the same millisecond.
	N uint64
}

// MaxID is newer than every message.
var MaxID = ID{Ms: math.MaxInt64, N: math.MaxUint64}

// maxIDLen is the length of the longest ID: two 64-bit numbers and a hyphen.
const maxIDLen = 19 + 1 + 20

var errIDForm = errors.New("an id is digits, or digits, a hyphen and digits")

// ParseID parses the result of [ID.String], except "". Leading zeros are
// allowed. The error quotes s.
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

// parseDigits is stricter than strconv, which also accepts a sign.
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

// Append appends the id as clients see it to dst. The zero ID is "0" here.
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

// Prev returns the newest possible id that is older than id, so that id is the
// first that follows it. For the zero ID, which has none, it returns the zero ID.
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

// Next returns the oldest possible id that is newer than id.
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

// Oldest returns the older of two ids.
func Oldest(a, b ID) ID {
	if a.After(b) {
		return b
	}
	return a
}
