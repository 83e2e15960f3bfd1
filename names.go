package ssechat

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

const maxNonceBytes = 64

// checkRoom returns why s cannot name a room.
func checkRoom(s string) error { return wire.CheckRoom(s) }

// roomRune reports whether a room's name may have a character.
func roomRune(r rune) bool { return wire.CheckRoomRune(r) == nil }

// checkName returns why s cannot be an author's name.
func checkName(s string) error { return wire.CheckName(s) }

// checkNonce returns why s cannot be a nonce.
func checkNonce(s string) error {
	if s == "" || len(s) > maxNonceBytes || strings.ContainsFunc(s, notOfNonce) {
		return fmt.Errorf("nonce %.80q: must be 1 to %d of A-Z, a-z, 0-9, _ and -", s, maxNonceBytes)
	}
	return nil
}

func notOfNonce(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
}

// checkText returns which character s may not have. Line ends and tabs are
// fine; other control characters are not.
func checkText(s string) error {
	for _, r := range s {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			return fmt.Errorf("text: the control character %U is not allowed", r)
		}
	}
	return nil
}
