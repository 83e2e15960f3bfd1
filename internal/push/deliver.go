package push

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/posting"
)

const (
	// requestLimit is how long a request to a push service may take.
	requestLimit = 10 * time.Second
	dialLimit    = 5 * time.Second
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 4 << 10
	// life is for how long a push service may keep a message for a device that is off.
	life = 24 * time.Hour
	// maxWait is the longest time that a push service can make an endpoint wait.
	maxWait = time.Hour
)

// outcome is what became of a request.
type outcome struct {
	reason string        // why it failed, one of reasons, or "" if it was accepted
	again  bool          // it may be tried again
	gone   bool          // the subscription has ended
	wait   time.Duration // that the service asks for, or 0
	detail error         // nil if it was accepted
}

// newClient returns the client for push services. It follows no redirects and no proxy of
// the environment, and connects to public addresses only.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialTLSContext:         dialTLS,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           perService,
			MaxIdleConnsPerHost:    perService / 8,
			IdleConnTimeout:        90 * time.Second,
			DisableCompression:     true, // a small body could become a large one
			MaxResponseHeaderBytes: 16 << 10,
			// one that is dead and does not show it is closed before many pushes wait for it
			HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dialTLS connects to a push service.
func dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialLimit, ControlContext: guard, Resolver: exempt.Load().resolver()}
	return (&tls.Dialer{NetDialer: dialer, Config: &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, RootCAs: exempt.Load().pool(),
	}}).DialContext(ctx, network, address)
}

// topicOf returns the topic of a room, of whose messages a push service keeps the newest only.
// It differs for each subscription, so that a service learns nothing of rooms.
//
// https://www.rfc-editor.org/rfc/rfc8030#section-5.4
func topicOf(sub *Subscription, room string) string {
	mac := hmac.New(sha256.New, sub.Auth)
	mac.Write([]byte(room))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}

// deliver sends a notice to a subscription.
func (d *desk) deliver(ctx context.Context, client *http.Client, sub *Subscription, n *notice) outcome {
	endpoint, err := url.Parse(sub.Endpoint)
	if err == nil {
		err = CheckEndpoint(sub.Endpoint) // what is stored may be of another version
	}
	if err != nil {
		return outcome{reason: reasonAddress, gone: true, detail: err}
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	authorization, err := d.shelf.vapid.authorization(ctx, endpoint, d.contact, time.Now())
	if err != nil {
		return outcome{reason: reasonStorage, again: true, detail: err}
	}
	body, err := encrypt(n.payload(), sub)
	if err != nil {
		return outcome{reason: reasonRejected, gone: true, detail: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.Endpoint, bytes.NewReader(body)) //nolint:gosec // see guard
	if err != nil {
		return outcome{reason: reasonRejected, detail: err}
	}
	left := life - time.Since(n.at)
	r.Header.Set("Authorization", authorization)
	r.Header.Set("Content-Encoding", "aes128gcm")
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header["TTL"] = []string{strconv.Itoa(max(0, int(left.Seconds())))}
	r.Header.Set("Topic", topicOf(sub, n.room))
	r.Header.Set("Urgency", "normal") // which is for chats: RFC 8030, section 5.3
	r.Header.Set("User-Agent", "caddy-sse-chat")
	response, err := client.Do(r) //nolint:gosec // as above
	if err != nil {
		return failed(ctx, err)
	}
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	_ = response.Body.Close()
	return judge(response, time.Now())
}

// failed returns the outcome of a request without an answer. Its error does not contain the
// endpoint, which is a secret.
func failed(ctx context.Context, err error) outcome {
	err = posting.Fault(ctx, requestLimit, err)
	if errors.Is(err, errNotPublic) {
		return outcome{reason: reasonAddress, detail: err}
	}
	return outcome{reason: reasonNetwork, again: true, detail: err}
}

// judge returns the outcome of a request by its answer.
func judge(response *http.Response, now time.Time) outcome {
	status := response.StatusCode
	o := outcome{detail: fmt.Errorf("the answer has the status %d", status)}
	switch {
	case status >= 200 && status <= 299:
		return outcome{}
	case status == http.StatusNotFound || status == http.StatusGone:
		o.reason, o.gone = reasonGone, true
	case status == http.StatusTooManyRequests:
		o.reason, o.again, o.wait = reasonTooMany, true, retryAfter(response.Header, now)
	case status >= 500:
		o.reason, o.again, o.wait = reasonUnavailable, true, retryAfter(response.Header, now)
	default:
		o.reason = reasonRejected
	}
	return o
}

// retryAfter returns for how long an answer asks to wait, in seconds or until a date, at most
// maxWait.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxWait)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, min(at.Sub(now), maxWait))
	}
	return 0
}
