package wire

import (
	"fmt"
	"strings"
)

const maxNonceBytes = 64

// CheckNonce returns why s cannot be a nonce.
func CheckNonce(s string) error {
	if s == "" || len(s) > maxNonceBytes || strings.ContainsFunc(s, NotOfNonce) {
		return fmt.Errorf("nonce %.80q: must be 1 to %d characters of A-Z, a-z, 0-9, _ and -", s, maxNonceBytes)
	}
	return nil
}

func NotOfNonce(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
}
