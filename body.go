package ssechat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/bodytime"
	"github.com/sse-chat/caddy-sse-chat/internal/innermost"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// maxBatchLines is how many messages a batch may have.
const maxBatchLines = 1000

// batchTypes are the content types of a batch. The answer has the same one.
var batchTypes = []string{"application/x-ndjson", "application/ndjson", "application/jsonl"}

// bodyReader reads drafts from the bodies of requests.
type bodyReader struct {
	maxText int // bytes
	// named is set if the configuration names the authors, so that the name in a
	// draft does not count.
	named bool
}

// posted is what a request to publish has in its body: drafts, or a signal.
type posted struct {
	drafts []store.Draft
	// batchType is the content type of a batch, or "" for a single message.
	batchType string
	signal    *wire.Signal
}

// read reads what is posted to a room from a request's body.
func (b bodyReader) read(w http.ResponseWriter, r *http.Request, room string) (p posted, err error) {
	if err := refuseEncodings(w, r.Header); err != nil {
		return p, err
	}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	limit := wire.MaxBody(b.maxText)
	if slices.Contains(batchTypes, mediaType) {
		p.batchType = mediaType
		limit = wire.MaxBatchBody(b.maxText, maxBatchLines)
	}
	body, err := readBody(w, r, limit)
	if err != nil {
		return p, err
	}
	if p.batchType != "" {
		p.drafts, err = b.readBatch(body, room, r.Header)
		return p, decodeError(err)
	}
	if p.signal, err = b.readSignal(body, room); p.signal != nil || err != nil {
		return p, decodeError(err)
	}
	p.drafts, err = b.readMessage(body, room, mediaType, r.Header)
	return p, decodeError(err)
}

// decodeError returns the answer to a body that has something wrong in it, or nil.
func decodeError(err error) error {
	switch {
	case errors.Is(err, store.ErrTooLong):
		return caddyhttp.Error(http.StatusRequestEntityTooLarge, err)
	case err != nil:
		return badRequest(err)
	}
	return nil
}

// readSignal decodes a signal, or returns nil if the body is none.
func (b bodyReader) readSignal(body []byte, room string) (*wire.Signal, error) {
	signal, given, err := wire.DecodeSignal(body, room)
	if err == nil && given && !b.named {
		err = wire.CheckName(signal.Name)
	}
	if err != nil || !given {
		return nil, err
	}
	return &signal, nil
}

// readChange reads a change of a message in a room from a request's body.
func (b bodyReader) readChange(w http.ResponseWriter, r *http.Request, room string) (c store.Change, err error) {
	if err := refuseEncodings(w, r.Header); err != nil {
		return c, err
	}
	body, err := readBody(w, r, wire.MaxBody(b.maxText))
	if err != nil {
		return c, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return c, badRequest(errors.New(`the body is empty, expected an object like {"text":"…"}`))
	}
	if c, err = wire.DecodeChange(body, room, b.maxText); err == nil {
		err = setNonce(&c.Nonce, r.Header)
	}
	return c, decodeError(err)
}

// refuseEncodings returns an error if a body is compressed. Bodies are never
// decompressed, because a few bytes could become a great many.
func refuseEncodings(w http.ResponseWriter, header http.Header) error {
	for _, field := range header.Values("Content-Encoding") {
		for encoding := range strings.SplitSeq(field, ",") {
			encoding = strings.TrimSpace(encoding)
			if encoding != "" && !strings.EqualFold(encoding, "identity") {
				w.Header().Set("Accept-Encoding", "identity")
				return caddyhttp.Error(http.StatusUnsupportedMediaType,
					fmt.Errorf("the content encoding %.40q is not supported: send the body as it is", encoding))
			}
		}
	}
	return nil
}

// readBody reads a body of at most limit bytes, without the byte order mark that
// some programs put before UTF-8.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	// only the server's own writer can delay the reset of a connection until the
	// client has read that it sent too much
	inner, _ := innermost.Writer(w)
	done := bodytime.InFlight.Begin(w)
	body, err := io.ReadAll(http.MaxBytesReader(inner, r.Body, limit))
	done()
	if err != nil {
		return nil, bodyError(err)
	}
	if format := foreignFormat(body); format != "" {
		return nil, badRequest(fmt.Errorf("the body is %s: send plain UTF-8", format))
	}
	return bytes.TrimPrefix(body, []byte("\ufeff")), nil
}

// foreignFormat names the format of a body that cannot be UTF-8 text, by its first
// bytes, or returns "".
func foreignFormat(body []byte) string {
	for _, f := range []struct{ prefix, name string }{
		{"\xff\xfe", "UTF-16"},
		{"\xfe\xff", "UTF-16"},
		{"{\x00", "UTF-16"},
		{"\x00{", "UTF-16"},
		{"\x1f\x8b", "compressed with gzip"},
		{"\x28\xb5\x2f\xfd", "compressed with zstd"},
	} {
		if bytes.HasPrefix(body, []byte(f.prefix)) {
			return f.name
		}
	}
	return ""
}

// readMessage decodes a single message.
func (b bodyReader) readMessage(body []byte, room, mediaType string, header http.Header) ([]store.Draft, error) {
	decode := wire.DecodeMessage
	switch {
	case mediaType == wire.FormType && wire.IsForm(body):
		decode = wire.DecodeForm
	case mediaType == "multipart/form-data" && bytes.HasPrefix(body, []byte("--")):
		return nil, fmt.Errorf("a form must be sent as %s, not as %s", wire.FormType, mediaType)
	}
	draft, err := b.decode(decode, body, room)
	if err == nil {
		err = setNonce(&draft.Nonce, header)
	}
	return []store.Draft{draft}, err
}

// decode decodes one message. The author is checked only if the configuration gives
// none.
func (b bodyReader) decode(decode func([]byte, string, int) (store.Draft, error), body []byte, room string) (store.Draft, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return store.Draft{}, errors.New(`the body is empty, expected an object like {"text":"…"}`)
	}
	draft, err := decode(body, room, b.maxText)
	if err == nil && !b.named {
		err = wire.CheckName(draft.Name)
	}
	return draft, err
}

// readBatch decodes one message per line, all or none.
func (b bodyReader) readBatch(body []byte, room string, header http.Header) ([]store.Draft, error) {
	if header.Get("Idempotency-Key") != "" {
		return nil, errors.New("a batch takes no Idempotency-Key: give each message its nonce")
	}
	var drafts []store.Draft
	number := 0
	for line := range bytes.Lines(body) {
		number++
		if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
			continue
		}
		if len(drafts) == maxBatchLines {
			return nil, fmt.Errorf("line %d: a batch has at most %d messages", number, maxBatchLines)
		}
		draft, err := b.decode(wire.DecodeMessage, line, room)
		if err != nil {
			return nil, fmt.Errorf("line %d: %v", number, err) // %v, so that it is always a 400
		}
		drafts = append(drafts, draft)
	}
	if drafts == nil {
		return nil, errors.New("the batch has no messages")
	}
	return drafts, nil
}

// setNonce sets the nonce of a message or change from the Idempotency-Key header, which may
// be quoted, as in its draft, or plain.
func setNonce(nonce *string, header http.Header) error {
	keys := header.Values("Idempotency-Key")
	if len(keys) > 1 {
		return errors.New("Idempotency-Key: given more than once")
	}
	key := header.Get("Idempotency-Key")
	if key == "" {
		return nil
	}
	if n := len(key) - 1; n > 0 && key[0] == '"' && key[n] == '"' {
		key = key[1:n]
	}
	if err := wire.CheckNonce(key); err != nil {
		return fmt.Errorf("Idempotency-Key: %w", err)
	}
	if *nonce != "" && *nonce != key {
		return fmt.Errorf("the nonce %q and the Idempotency-Key %q differ", *nonce, key)
	}
	*nonce = key
	return nil
}

// errSlowBody is the error for a body that took too long.
var errSlowBody = fmt.Errorf("the body did not arrive within %s", bodytime.Limit)

// bodyError returns the answer to a body that could not be read to its end.
func bodyError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return caddyhttp.Error(http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", tooLarge.Limit))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return badRequest(fmt.Errorf("reading the body: %w", err))
	}
	if caddy.Exiting() {
		return retryAfter(http.StatusServiceUnavailable, storeRetryAfter, errors.New("the server is shutting down; send the message again"))
	}
	return caddyhttp.Error(http.StatusRequestTimeout, errSlowBody)
}
