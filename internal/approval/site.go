package approval

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/posting"
)

const (
	// maxWaiting is how many questions may wait for an answer at once. Others wait for
	// their turn.
	maxWaiting = 100
	// maxRefusal is how much of the body of a refusal is passed on, in bytes.
	maxRefusal = 4 << 10
	// maxUnread is how much of an unused answer is read, so that its connection can be
	// reused, in bytes.
	maxUnread = 64 << 10
)

// RefusalError is the answer of a site that refuses, for whoever wanted to publish.
type RefusalError struct {
	Status      int // 400 to 499
	ContentType string
	RetryAfter  string
	Body        []byte // at most 4 KiB
}

func (r *RefusalError) Error() string {
	return fmt.Sprintf("the site refuses with status %d", r.Status)
}

// site is where questions go. Its methods may be called by several goroutines at the same
// time.
type site struct {
	timeout time.Duration
	client  *http.Client
	turns   chan struct{}
}

// newSite returns a site that has this long to answer a question.
func newSite(timeout time.Duration) *site {
	return &site{
		timeout: timeout,
		turns:   make(chan struct{}, maxWaiting),
		client:  posting.NewClient(timeout, maxWaiting),
	}
}

// ask posts a question and returns the body of the answer if it is 2xx, at most limit
// bytes. The error is a [*RefusalError] for 4xx. Any other error means that there is no answer.
func (s *site) ask(ctx context.Context, url string, header http.Header, question []byte, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%d questions are waiting for an answer already", maxWaiting)
	}
	response, err := posting.Post(ctx, s.client, s.timeout, url, header, question)
	if err != nil {
		return nil, err
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, response.Body, maxUnread)
		_ = response.Body.Close()
	}()
	if status := response.StatusCode; status >= 400 && status < 500 {
		body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
		if err != nil {
			return nil, posting.Fault(ctx, s.timeout, err)
		}
		return nil, &RefusalError{status, response.Header.Get("Content-Type"), response.Header.Get("Retry-After"), body}
	} else if status < 200 || status > 299 {
		return nil, fmt.Errorf("the answer has the status %d", status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, posting.Fault(ctx, s.timeout, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	return body, nil
}
