package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/posting"
)

const (
	// signatureHeader is the header of a request's signature.
	signatureHeader = "Sse-Chat-Signature"
	// maxUnread is how much of an unused answer is read, so that its connection can be
	// reused, in bytes; and maxUnreadTime is for how long.
	maxUnread     = 16 << 10
	maxUnreadTime = time.Second
)

// poster posts batches, one at a time.
type poster struct {
	timeout time.Duration
	client  *http.Client
}

func newPoster(timeout time.Duration) *poster {
	return &poster{timeout, posting.NewClient(timeout, 1)}
}

func (p *poster) close() { p.client.CloseIdleConnections() }

// post posts a batch, and returns why the site has not accepted it. Once valid has ended, it
// may take no longer than grace.
func (p *poster) post(ctx, valid context.Context, grace time.Duration, to *Target, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	defer context.AfterFunc(valid, func() {
		defer time.AfterFunc(grace, cancel).Stop()
		<-ctx.Done()
	})()
	header := make(http.Header)
	if to.Secret != "" {
		header.Set(signatureHeader, sign(to.Secret, time.Now(), body))
	}
	response, err := posting.Post(ctx, p.client, p.timeout, to.URL, header, body)
	if err != nil {
		return err
	}
	defer func() {
		// the answer's status is all that counts
		defer time.AfterFunc(maxUnreadTime, cancel).Stop()
		_, _ = io.CopyN(io.Discard, response.Body, maxUnread)
		_ = response.Body.Close()
	}()
	if status := response.StatusCode; status < 200 || status > 299 {
		return fmt.Errorf("the answer has the status %d", status)
	}
	return nil
}

// sign returns the signature of a body at a time.
func sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte(t + "."))
	_, _ = mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
