package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
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
	"r3labs/sse":           r3labs,
	"go-sse":               goSSE(http.DefaultClient),
	"launchdarkly":         launchDarkly,
	"curl and a few lines": curl(),
	"Python's requests":    python("client.py"),
}

// inNode runs one of the clients of client.mjs.
func inNode(name string) client {
	return func(ctx context.Context, url string, deliver func(event, data string)) error {
		cmd := exec.CommandContext(ctx, "node", "--no-warnings", "--experimental-eventsource", "client.mjs", name, url)
		cmd.Env = append(os.Environ(), "NODE_TLS_REJECT_UNAUTHORIZED=0")
		return readEvents(cmd, deliver)
	}
}

// readEvents runs a program that writes each event as a line of JSON.
func readEvents(cmd *exec.Cmd, deliver func(event, data string)) error {
	return readLines(cmd, func(line string) error {
		var e struct{ Event, Data string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return fmt.Errorf("%w in %q", err, line)
		}
		deliver(e.Event, e.Data)
		return nil
	})
}

// readLines runs a program until it ends, and passes on its lines.
func readLines(cmd *exec.Cmd, take func(line string) error) error {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if err := take(scanner.Text()); err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return err
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Args[0], err, stderr.String())
	}
	return nil
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

// curl shows what a client without event support needs: to read lines, and to
// reconnect with the last id.
func curl(options ...string) client {
	return func(ctx context.Context, url string, deliver func(event, data string)) error {
		var last string
		for ctx.Err() == nil {
			var id, event, data string
			args := append([]string{"-sSN", "-H", "Last-Event-ID: " + last, url}, options...)
			// it ends with an error if the connection is reset or refused
			_ = readLines(exec.CommandContext(ctx, "curl", args...), func(line string) error {
				field, value, _ := strings.Cut(line, ": ")
				switch field {
				case "id":
					id = value
				case "event":
					event = value
				case "data":
					data = value
				case "":
					if id != "" {
						last = id
					}
					deliver(event, data)
					id, event, data = "", "", ""
				}
				return nil
			})
			sleep(ctx, pause)
		}
		return nil
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
