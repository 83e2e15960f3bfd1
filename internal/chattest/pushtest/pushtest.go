// Package pushtest runs a push service for tests, and browsers that have subscribed at it. It
// checks what it gets, and decrypts it, by the RFCs and without the code that is tested.
package pushtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// Service is a push service on this machine.
type Service struct {
	// URL is its origin, at the name localhost.
	URL string
	// Roots has its certificate, which is DER.
	Roots *x509.CertPool
	DER   []byte
	// Key is the public key that requests must be signed with, and Contact whom they must
	// name. They are set before the first request.
	Key, Contact string

	t      testing.TB
	server *httptest.Server

	mu     sync.Mutex // guards all below
	people map[string]*Browser
	faults []string
	tokens map[string]bool
}

// Start starts a service, which is stopped when the test ends. The test fails then if any
// request was not as it must be.
func Start(t testing.TB) *Service {
	t.Helper()
	s := &Service{t: t, people: make(map[string]*Browser), tokens: make(map[string]bool), Roots: x509.NewCertPool()}
	pair := chattest.Certificate(t, "push.example")
	certificate, err := tls.LoadX509KeyPair(pair, pair)
	if err != nil {
		t.Fatal(err)
	}
	s.Roots.AddCert(certificate.Leaf)
	s.DER = certificate.Leaf.Raw
	s.server = chattest.NewServerAt(t, chattest.FreeAddr(t), s)
	s.server.EnableHTTP2 = true
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.server.Config.ErrorLog = nil
	s.server.StartTLS()
	_, port, _ := net.SplitHostPort(s.server.Listener.Addr().String())
	s.URL = "https://localhost:" + port
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, fault := range s.faults {
			t.Error(fault)
		}
	})
	return s
}

// Tokens returns how many different tokens it has seen.
func (s *Service) Tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tokens)
}

// Browser is a browser that has subscribed.
type Browser struct {
	// Endpoint is its URL at the service.
	Endpoint string

	key  *ecdh.PrivateKey
	auth []byte

	mu     sync.Mutex // guards all below
	got    []Push
	answer http.HandlerFunc // nil for 201
}

// Push is what a browser got.
type Push struct {
	At      time.Time
	Header  http.Header
	Payload map[string]string
	// Refused is set if the service did not take it.
	Refused bool
}

// Subscribe makes a subscription.
func (s *Service) Subscribe() *Browser {
	s.t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &Browser{key: key, auth: make([]byte, 16)}
	_, _ = rand.Read(b.auth)
	path := "/" + rand.Text()
	b.Endpoint = s.URL + path
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people[path] = b
	return b
}

// JSON is the PushSubscription as a browser gives it.
func (b *Browser) JSON() string {
	encode := base64.RawURLEncoding.EncodeToString
	text, _ := json.Marshal(map[string]any{
		"endpoint": b.Endpoint, "expirationTime": nil,
		"keys": map[string]string{"p256dh": encode(b.key.PublicKey().Bytes()), "auth": encode(b.auth)},
	})
	return string(text)
}

// Answer sets what the service answers for this browser from now on; nil is 201.
func (b *Browser) Answer(answer http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// Got returns all that the browser got, what the service refused included.
func (b *Browser) Got() []Push {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Push(nil), b.got...)
}

// Texts returns the texts of all that the browser got.
func (b *Browser) Texts() (texts []string) {
	for _, p := range b.Got() {
		texts = append(texts, p.Payload["text"])
	}
	return texts
}

// Wait waits until the browser has got n pushes, and returns the last.
func (b *Browser) Wait(t testing.TB, n int) Push {
	t.Helper()
	var got []Push
	chattest.Eventually(t, fmt.Sprintf("push %d comes", n), func() bool {
		got = b.Got()
		return len(got) >= n
	})
	if len(got) > n {
		t.Errorf("%d pushes came, want %d: %q", len(got), n, b.Texts())
	}
	return got[n-1]
}

// ServeHTTP implements [http.Handler].
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	b := s.people[r.URL.Path]
	s.mu.Unlock()
	if b == nil {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	p := Push{At: time.Now(), Header: r.Header}
	if err == nil {
		err = s.check(r)
	}
	if err == nil {
		err = b.decrypt(body, &p.Payload)
	}
	b.mu.Lock()
	answer := b.answer
	p.Refused = answer != nil
	b.got = append(b.got, p)
	b.mu.Unlock()
	if err != nil {
		s.mu.Lock()
		s.faults = append(s.faults, fmt.Sprintf("a push is not as it must be: %v", err))
		s.mu.Unlock()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Location", s.URL+"/message/1")
	w.WriteHeader(http.StatusCreated)
}

// check checks a request by RFC 8030 and RFC 8292.
func (s *Service) check(r *http.Request) error {
	if r.Method != http.MethodPost {
		return fmt.Errorf("the method is %s", r.Method)
	}
	for name, want := range map[string]string{"Content-Encoding": "aes128gcm", "Urgency": "normal"} {
		if got := r.Header.Get(name); got != want {
			return fmt.Errorf("%s is %q", name, got)
		}
	}
	if topic := r.Header.Get("Topic"); len(topic) > 32 || topic == "" || strings.Trim(topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return fmt.Errorf("the topic is %q", topic)
	}
	var ttl int
	if _, err := fmt.Sscan(r.Header.Get("Ttl"), &ttl); err != nil || ttl < 86000 || ttl > 86400 {
		return fmt.Errorf("TTL is %q", r.Header.Get("Ttl"))
	}
	return s.checkToken(r.Header.Get("Authorization"))
}

func (s *Service) checkToken(authorization string) error {
	rest, ok := strings.CutPrefix(authorization, "vapid t=")
	token, key, ok2 := strings.Cut(rest, ", k=")
	if !ok || !ok2 {
		return fmt.Errorf("the authorization is %q", authorization)
	}
	if s.Key != "" && key != s.Key {
		return fmt.Errorf("the key is %q, want %q", key, s.Key)
	}
	point, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return err
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return err
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return fmt.Errorf("the token is %q", token)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return fmt.Errorf("the signature has %d bytes: %v", len(signature), err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("the signature is wrong")
	}
	var head struct{ Typ, Alg string }
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	for i, to := range []any{&head, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, to)
		}
		if err != nil {
			return err
		}
	}
	left := time.Until(time.Unix(claims.Exp, 0))
	if head.Alg != "ES256" || head.Typ != "JWT" || claims.Aud != s.URL || left < 0 || left > 24*time.Hour {
		return fmt.Errorf("the token says %+v, %+v", head, claims)
	}
	if s.Contact != "" && claims.Sub != s.Contact {
		return fmt.Errorf("the contact is %q", claims.Sub)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = true
	return nil
}

// decrypt decrypts a body by RFC 8188 and RFC 8291.
func (b *Browser) decrypt(body []byte, to any) error {
	if len(body) < 86 || len(body) > 4096 {
		return fmt.Errorf("the body has %d bytes", len(body))
	}
	salt, size, keyLength := body[:16], binary.BigEndian.Uint32(body[16:20]), int(body[20])
	if keyLength != 65 || int(size) < len(body)-86 {
		return fmt.Errorf("the record size is %d, the key has %d bytes", size, keyLength)
	}
	senderKey, record := body[21:86], body[86:]
	sender, err := ecdh.P256().NewPublicKey(senderKey)
	if err != nil {
		return err
	}
	shared, err := b.key.ECDH(sender)
	if err != nil {
		return err
	}
	info := append([]byte("WebPush: info\x00"), b.key.PublicKey().Bytes()...)
	info = append(info, senderKey...)
	extracted, _ := hkdf.Extract(sha256.New, shared, b.auth)
	material, _ := hkdf.Expand(sha256.New, extracted, string(info), 32)
	extracted, _ = hkdf.Extract(sha256.New, material, salt)
	key, _ := hkdf.Expand(sha256.New, extracted, "Content-Encoding: aes128gcm\x00", 16)
	nonce, _ := hkdf.Expand(sha256.New, extracted, "Content-Encoding: nonce\x00", 12)
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	plain, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return err
	}
	text := strings.TrimRight(string(plain), "\x00")
	text, ok := strings.CutSuffix(text, "\x02")
	if !ok {
		return errors.New("the record does not end")
	}
	return json.Unmarshal([]byte(text), to)
}
