package push

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// vapidKey is where the private key is stored, one for all hubs of a storage.
	vapidKey  = "sse_chat/push/vapid.pem"
	vapidLock = "sse_chat_push_vapid"
	// tokenLife is how long a push service may take a token. It is at most 24 h by
	// https://www.rfc-editor.org/rfc/rfc8292#section-2.
	tokenLife = 12 * time.Hour
	// tokenReuse is for how long a token is used again.
	tokenReuse = tokenLife - time.Hour
	// maxTokens is how many tokens are kept. Beyond that all are made anew.
	maxTokens = 1000
)

// vapid is the key by which push services recognize this site, and the tokens that it has
// signed. Its methods may be called by several goroutines at the same time.
//
// https://www.rfc-editor.org/rfc/rfc8292
type vapid struct {
	storage Storage
	turn    turn // of loading

	mu     sync.Mutex // guards all below
	key    *ecdsa.PrivateKey
	public string // in base64url
	tokens map[tokenOf]token
}

// tokenOf identifies a token: the push service it is for, and the contact in it.
type tokenOf struct{ service, contact string }

type token struct {
	text string
	at   time.Time // when it was made
}

func newVAPID(storage Storage) *vapid {
	return &vapid{storage: storage, turn: newTurn(), tokens: make(map[tokenOf]token)}
}

// load returns the key, which is made if the storage has none. Of several nodes one makes it.
func (v *vapid) load(ctx context.Context) (*ecdsa.PrivateKey, string, error) {
	if key, public := v.loaded(); key != nil {
		return key, public, nil
	}
	if err := v.turn.take(ctx); err != nil {
		return nil, "", err
	}
	defer v.turn.give()
	if key, public := v.loaded(); key != nil {
		return key, public, nil
	}
	key, err := v.read(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = v.create(ctx)
	}
	if err != nil {
		return nil, "", fmt.Errorf("the key of push, %s: %w", vapidKey, err)
	}
	point, err := key.PublicKey.ECDH()
	if err != nil {
		return nil, "", err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.key, v.public = key, base64.RawURLEncoding.EncodeToString(point.Bytes())
	return v.key, v.public, nil
}

func (v *vapid) loaded() (*ecdsa.PrivateKey, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.key, v.public
}

func (v *vapid) read(ctx context.Context) (*ecdsa.PrivateKey, error) {
	text, err := v.storage.Load(ctx, vapidKey)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("it is not a key of the curve P-256")
	}
	return key, nil
}

// create makes the key, unless another node makes it first.
func (v *vapid) create(ctx context.Context) (key *ecdsa.PrivateKey, err error) {
	if err := v.storage.Lock(ctx, vapidLock); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.storage.Unlock(context.WithoutCancel(ctx), vapidLock)) }()
	if key, err := v.read(ctx); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, v.storage.Store(ctx, vapidKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// authorization returns the header Authorization of a request to an endpoint.
func (v *vapid) authorization(ctx context.Context, endpoint *url.URL, contact string, now time.Time) (string, error) {
	key, public, err := v.load(ctx)
	if err != nil {
		return "", err
	}
	of := tokenOf{service(endpoint), contact}
	v.mu.Lock()
	defer v.mu.Unlock()
	known, ok := v.tokens[of]
	if age := now.Sub(known.at); !ok || age < 0 || age > tokenReuse {
		if known, err = newToken(key, of, now); err != nil {
			return "", err
		}
		if len(v.tokens) >= maxTokens {
			clear(v.tokens)
		}
		v.tokens[of] = known
	}
	return "vapid t=" + known.text + ", k=" + public, nil
}

// service returns the origin of a push service.
func service(endpoint *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(endpoint.Host), ":443")
	return endpoint.Scheme + "://" + host
}

// newToken signs a token, a JWT.
func newToken(key *ecdsa.PrivateKey, of tokenOf, now time.Time) (token, error) {
	claims, err := json.Marshal(struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub"`
	}{of.service, now.Add(tokenLife).Unix(), of.contact})
	if err != nil {
		return token{}, err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return token{}, err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return token{text + "." + encode(signature[:]), now}, nil
}

// CheckContact returns an error if push services cannot take s as the address of whoever
// runs the site.
func CheckContact(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
	case strings.ContainsAny(s, " <>\"\t\n") || len(s) > 256:
	case u.Scheme == "mailto" && strings.Contains(strings.Trim(u.Opaque, "@"), "@"):
		return nil
	case u.Scheme == "https" && u.Hostname() != "":
		return nil
	}
	return fmt.Errorf("%q is no contact for push services: give mailto:you@example.com or https://example.com/contact", s)
}
