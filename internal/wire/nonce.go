package wire

import (
	"fmt"
	"strings"
)

// maxNonceBytes is the longest nonce in bytes.
const maxNonceBytes = 64

// CheckNonce returns an error if s cannot be a nonce.
func CheckNonce(s string) error {
	if s == "" || len(s) > maxNonceBytes || strings.ContainsFunc(s, notBase64URL) {
		return fmt.Errorf("nonce %.80q: must be 1 to %d characters of A-Z, a-z, 0-9, _ and -", s, maxNonceBytes)
	}
	return nil
}

// notBase64URL reports whether r is not in the alphabet of base64url.
func notBase64URL(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
}
