// Package push sends messages to people who are away, through the push services of their
// browsers: who has subscribed, who is pushed what and when, encryption, and the requests.
// It knows no Caddy configuration.
package push

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Subscription is a browser's endpoint, its owner and the rooms that are pushed to it. It is
// immutable once stored.
type Subscription struct {
	// Endpoint is the URL at a push service.
	Endpoint string `json:"endpoint"`
	// P256dh and Auth are the keys of the browser.
	P256dh []byte `json:"p256dh"`
	Auth   []byte `json:"auth"`
	// Owner is the person.
	Owner store.Owner `json:"owner"`
	// Rooms are rooms of which all messages are pushed.
	Rooms []string `json:"rooms,omitempty"`
	// Mentions are rooms of which only messages that mention Name are pushed.
	Mentions []string `json:"mentions,omitempty"`
	Name     string   `json:"name,omitempty"`
	// Made is when it was stored, in Unix milliseconds.
	Made int64 `json:"made"`
}

// Decode reads a browser's PushSubscription. Its error names the field.
func Decode(body []byte) (*Subscription, error) {
	var given struct {
		Endpoint *string `json:"endpoint"`
		Keys     *struct {
			P256dh *string `json:"p256dh"`
			Auth   *string `json:"auth"`
		} `json:"keys"`
	}
	if err := unmarshal(body, &given); err != nil {
		return nil, err
	}
	if given.Endpoint == nil {
		return nil, errors.New("endpoint: missing")
	}
	if given.Keys == nil {
		return nil, errors.New("keys: missing")
	}
	sub := &Subscription{Endpoint: *given.Endpoint}
	if err := CheckEndpoint(sub.Endpoint); err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	var err error
	if sub.P256dh, err = decodeKey(given.Keys.P256dh, keyBytes); err != nil {
		return nil, fmt.Errorf("keys.p256dh: %w", err)
	}
	if _, err := ecdh.P256().NewPublicKey(sub.P256dh); err != nil {
		return nil, errors.New("keys.p256dh: not a point of the curve P-256")
	}
	if sub.Auth, err = decodeKey(given.Keys.Auth, authBytes); err != nil {
		return nil, fmt.Errorf("keys.auth: %w", err)
	}
	return sub, nil
}

// DecodeEndpoint reads the endpoint of a subscription that is to be forgotten. Its error names
// the field.
func DecodeEndpoint(body []byte) (string, error) {
	var given struct {
		Endpoint *string `json:"endpoint"`
	}
	if err := unmarshal(body, &given); err != nil {
		return "", err
	}
	if given.Endpoint == nil || *given.Endpoint == "" {
		return "", errors.New("endpoint: missing")
	}
	return *given.Endpoint, nil
}

// unmarshal decodes a JSON object.
func unmarshal(body []byte, to any) error {
	err := json.Unmarshal(body, to)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return fmt.Errorf("the body is a JSON %s, not a PushSubscription", wrong.Value)
		}
		return fmt.Errorf("%s: a JSON %s is not expected here", wrong.Field, wrong.Value)
	}
	if err != nil {
		return fmt.Errorf("the body is not the JSON of a PushSubscription: %w", err)
	}
	return nil
}

// decodeKey decodes a key in base64url. Some programs pad it, or use the other alphabet.
func decodeKey(s *string, size int) ([]byte, error) {
	if s == nil {
		return nil, errors.New("missing")
	}
	text := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(*s, "="))
	key, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%.20q is not base64url", *s)
	}
	if len(key) != size {
		return nil, fmt.Errorf("has %d bytes, not %d", len(key), size)
	}
	return key, nil
}

// person returns the owner's identity in package presence.
func (s *Subscription) person() string { return personOf(s.Owner) }

func personOf(owner store.Owner) string {
	if tag := owner.Tag(); tag != "" {
		return tag
	}
	return presence.PersonByName(owner.Shown())
}

// wants reports whether a message of a room is to be pushed.
func (s *Subscription) wants(n *notice) bool {
	if n.owner != "" && n.owner == s.Owner {
		return false
	}
	if slices.Contains(s.Rooms, n.room) {
		return true
	}
	return slices.Contains(s.Mentions, n.room) && mentions(n.mentionable, s.Name)
}

// rooms returns all rooms that a subscription names.
func (s *Subscription) rooms() []string { return append(slices.Clone(s.Rooms), s.Mentions...) }

// key returns the name under which it is stored. It depends on the content, so a list of
// names shows what has changed.
func (s *Subscription) key() string {
	bare := *s
	bare.Made = 0
	content, _ := json.Marshal(bare) // it cannot fail
	sum := sha256.Sum256(content)
	return hashOf(s.Endpoint) + "-" + hex.EncodeToString(sum[:8])
}

// hashOf returns the part of a key that stands for the endpoint.
func hashOf(endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return hex.EncodeToString(sum[:16])
}
