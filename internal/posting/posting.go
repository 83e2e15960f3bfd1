package posting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxIdle is how long an idle connection is kept.
const maxIdle = 90 * time.Second

// NewClient returns a client for one site that opens at most that many connections. timeout
// limits dialing and the TLS handshake; the request's context limits the rest. The client
// follows no redirects and ignores proxies of the environment. It is safe for concurrent use.
func NewClient(timeout time.Duration, connections int) *http.Client {
	return &http.Client{
		// over HTTP/1.1, because a connection that is dead and does not show it then costs
		// one request; and with limits for dialing, which goes on without the request
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
			TLSHandshakeTimeout:    timeout,
			MaxConnsPerHost:        connections,
			MaxIdleConns:           connections,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        maxIdle,
			DisableCompression:     true, // a small body could become a large one
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Post posts JSON and returns the answer, whose body the caller must close. header may be
// changed. The error does not contain the URL, which may be secret.
func Post(ctx context.Context, client *http.Client, timeout time.Duration, url string, header http.Header, body []byte) (*http.Response, error) {
	r, err := newRequest(ctx, url, header, body)
	if err != nil {
		return nil, Fault(ctx, timeout, err)
	}
	response, err := client.Do(r) //nolint:gosec // the URL of the configuration
	if err != nil {
		return nil, Fault(ctx, timeout, err)
	}
	return response, nil
}

// newRequest returns a request that posts JSON. header may be changed. If the site has just
// closed the kept connection, the client posts it once more.
func newRequest(ctx context.Context, url string, header http.Header, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body)) //nolint:gosec // the URL of the configuration
	if err != nil {
		return nil, err
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	r.Header["Idempotency-Key"] = nil // it is not sent, but makes the client repeat the request
	return r, nil
}

// Fault returns why a request with a context had no answer, without the URL, which may be
// secret.
func Fault(ctx context.Context, timeout time.Duration, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", timeout)
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		return inner.Err
	}
	return err
}
