package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// An author that the configuration does not name can prove its identity with a
// secret of its own: "Authorization: Author-Key <secret>". It uses that header
// because Caddy redacts it in all logs. Only a hash of the secret is kept.
const (
	authorScheme      = "Author-Key"
	minAuthorKeyBytes = 22 // 128 random bits in base64
	maxAuthorKeyBytes = 128
)

// AuthorKey returns a hash of the author's key in values of the Authorization
// header, or "" if they have none. It ignores other schemes. Errors reveal nothing
// of a key but its length.
func AuthorKey(authorization []string) (hash string, err error) {
	for _, value := range authorization {
		if !IsAuthorKey(value) {
			continue
		}
		_, key := cutScheme(value)
		if hash != "" {
			return "", fmt.Errorf("the header Authorization: give one %s, not several", authorScheme)
		}
		if err := checkAuthorKey(strings.Trim(key, " ")); err != nil {
			return "", fmt.Errorf("the header Authorization: %s: %w", authorScheme, err)
		}
		sum := sha256.Sum256([]byte("author " + strings.Trim(key, " ")))
		hash = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return hash, nil
}

// IsAuthorKey reports whether a value of the Authorization header has an author's key, even
// a malformed one.
func IsAuthorKey(authorization string) bool {
	scheme, _ := cutScheme(authorization)
	return strings.EqualFold(scheme, authorScheme)
}

// cutScheme splits a value of the Authorization header.
func cutScheme(authorization string) (scheme, rest string) {
	if i := strings.IndexAny(authorization, " \t"); i >= 0 {
		return authorization[:i], authorization[i+1:]
	}
	return authorization, ""
}

var errAuthorKeyForm = errors.New("only A-Z, a-z, 0-9, _ and - are allowed")

// checkAuthorKey returns an error if a key cannot be an author's key.
func checkAuthorKey(key string) error {
	if n := len(key); n < minAuthorKeyBytes || n > maxAuthorKeyBytes {
		return fmt.Errorf("must have %d to %d characters, not %d", minAuthorKeyBytes, maxAuthorKeyBytes, n)
	}
	if strings.ContainsFunc(key, notBase64URL) {
		return errAuthorKeyForm
	}
	return nil
}
