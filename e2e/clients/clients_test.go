package clients

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/launchdarkly/eventsource"
	"github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
	"gopkg.in/cenkalti/backoff.v1"
)

// client reads a URL until its context is done, and calls deliver for each
// dispatched event. It returns an error if it gives up earlier.
type client func(ctx context.Context, url string, deliver func(event, data string)) error

// pause is how long a wrapped client waits before it reconnects.
const pause = 500 * time.Millisecond

var clients = map[string]client{
	"Chromium":             chromium,
	"Firefox":              firefox,
	"Node's EventSource":   inNode("node"),
	"eventsource":          inNode("eventsource"),
	"undici":               inNode("undici"),
	"fetch-event-source":   inNode("fetch-event-source"),
	"eventsource-client":   inNode("eventsource-client"),
	"react-native-sse":     inNode("react-native-sse"),
	"@azure/core-sse":      inNode("core-sse"),
	"parse-sse":            inNode("parse-sse"),
	"r3labs/sse":           r3labs,
	"go-sse":               goSSE(http.DefaultClient),
	"launchdarkly":         launchDarkly,
	"Python's requests":    python("with_requests.py"),
	"Python's httpx":       python("with_httpx.py"),
	"Python's aiohttp":     python("with_aiohttp.py"),
	"Java's HttpClient":    java("httpclient"),
	"OkHttp":               java("okhttp"),
	"Mojolicious":          program("perl", "perl/client.pl"),
	"PHP's curl":           program("php", "php/client.php"),
	"curl and a few lines": curl(),
}

// libraries are for pages; the connections are the browser's.
var libraries = map[string]client{
	"event-source-polyfill":    inChromium("polyfill.html"),
	"reconnecting-eventsource": inChromium("reconnecting.html"),
	"sse.js":                   inChromium("ssejs.html"),
	"htmx 2":                   inChromium("htmx2.html"),
	"htmx 4":                   inChromium("htmx4.html"),
}

// and returns the clients of both.
func and(a, b map[string]client) map[string]client {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// r3labs stops at a clean end, and emits an empty event there if a comment was the
// last line.
func r3labs(ctx context.Context, url string, deliver func(event, data string)) error {
	c := sse.NewClient(url)
	// without this, it goes on for 15 minutes if it is stopped while it has no
	// connection
	c.ReconnectStrategy = backoff.WithContext(backoff.NewExponentialBackOff(), ctx)
	for ctx.Err() == nil {
		err := c.SubscribeRawWithContext(ctx, func(e *sse.Event) {
			if len(e.Data) > 0 {
				deliver(string(e.Event), string(e.Data))
			}
		})
		if err != nil {
			return err
		}
		sleep(ctx, pause)
	}
	return nil
}

// goSSE stops at a clean end after a comment, and emits an empty event at an end
// after a retry line.
func goSSE(over *http.Client) client {
	c := &gosse.Client{HTTPClient: over, ResponseValidator: gosse.DefaultValidator, Backoff: gosse.DefaultClient.Backoff}
	return func(ctx context.Context, url string, deliver func(event, data string)) error {
		request, err := newRequest(ctx, url)
		if err != nil {
			return err
		}
		connection := c.NewConnection(request)
		connection.SubscribeToAll(func(e gosse.Event) {
			if e.Data != "" {
				deliver(e.Type, e.Data)
			}
		})
		for ctx.Err() == nil {
			if err := connection.Connect(); err != nil {
				return err
			}
			sleep(ctx, pause)
		}
		return nil
	}
}

func launchDarkly(ctx context.Context, url string, deliver func(event, data string)) error {
	stream, err := eventsource.SubscribeWithURL(url)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		select {
		case e, ok := <-stream.Events:
			if !ok {
				return errors.New("it has closed its channel")
			}
			deliver(e.Event(), e.Data())
		case <-stream.Errors: // of a connection; it opens another
		case <-ctx.Done():
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
