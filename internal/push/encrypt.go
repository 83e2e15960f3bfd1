package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	keyBytes  = 65 // of an uncompressed point of P-256
	authBytes = 16
	saltBytes = 16
	tagBytes  = 16
	// maxRecord is the largest body, in bytes, that all push services take.
	// https://www.rfc-editor.org/rfc/rfc8030#section-7.2
	maxRecord = 4096
	// headBytes is the size of what precedes the encrypted part: salt, record size and key.
	// https://www.rfc-editor.org/rfc/rfc8188#section-2.1
	headBytes = saltBytes + 4 + 1 + keyBytes
	// maxPlain is the largest payload, in bytes. One byte ends the record.
	maxPlain = maxRecord - headBytes - 1 - tagBytes
	// padTo is of what payloads are a multiple, in bytes, so that a push service does not learn
	// how long a message is.
	padTo = 256
)

// encrypt encrypts a payload, of at most maxPlain bytes, for a subscription. The result is
// the body of a request to its endpoint.
//
// https://www.rfc-editor.org/rfc/rfc8291
func encrypt(plain []byte, sub *Subscription) ([]byte, error) {
	sender, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var salt [saltBytes]byte
	_, _ = rand.Read(salt[:]) // it never fails
	padding := min(-len(plain)&(padTo-1), maxPlain-len(plain))
	return seal(plain, padding, sub.P256dh, sub.Auth, sender, salt)
}

// seal encrypts a payload with a key and a salt that must not be used again.
func seal(plain []byte, padding int, p256dh, auth []byte, sender *ecdh.PrivateKey, salt [saltBytes]byte) ([]byte, error) {
	if n := len(plain) + padding; padding < 0 || n > maxPlain {
		return nil, fmt.Errorf("a payload of %d bytes is longer than %d", n, maxPlain)
	}
	receiver, err := ecdh.P256().NewPublicKey(p256dh)
	if err != nil {
		return nil, err
	}
	shared, err := sender.ECDH(receiver)
	if err != nil {
		return nil, err
	}
	own := sender.PublicKey().Bytes()
	secret, err := hkdf.Key(sha256.New, shared, auth, "WebPush: info\x00"+string(p256dh)+string(own), 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, salt[:], "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, secret, salt[:], "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	record := make([]byte, 0, len(plain)+1+padding)
	record = append(append(record, plain...), 2) // the end of the last record
	record = record[:len(record)+padding]
	body := make([]byte, 0, maxRecord)
	body = append(body, salt[:]...)
	body = binary.BigEndian.AppendUint32(body, maxRecord)
	body = append(append(body, keyBytes), own...)
	return gcm.Seal(body, nonce, record, nil), nil //nolint:gosec // the nonce is derived from a fresh salt
}
