package load

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// eventSource parses a stream as a browser's EventSource does, as far as a client
// needs it to come back. What it keeps survives the end of a stream.
type eventSource struct {
	lastID string        // of the last event that was dispatched
	retry  time.Duration // until it comes back

	id   string // of the event that is being parsed
	kind string
	data []byte
	line []byte // an incomplete line
}

// defaultRetry is Chromium's delay if the server gives none. Firefox has 5 s.
const defaultRetry = 3 * time.Second

// restart drops what an ended stream left incomplete.
func (e *eventSource) restart() {
	e.id, e.kind, e.data, e.line = e.lastID, "", e.data[:0], e.line[:0]
}

// feed takes the next data and calls message with the data of each message.
func (e *eventSource) feed(p []byte, message func(data []byte)) {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			e.line = append(e.line, p...)
			return
		}
		line := p[:i]
		if len(e.line) > 0 {
			line = append(e.line, line...)
			e.line = line[:0]
		}
		p = p[i+1:]
		e.take(bytes.TrimSuffix(line, []byte("\r")), message)
	}
}

// take takes one line.
func (e *eventSource) take(line []byte, message func(data []byte)) {
	if len(line) == 0 {
		e.dispatch(message)
		return
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "id":
		e.id = string(value)
	case "event":
		e.kind = string(value)
	case "data":
		e.data = append(append(e.data, value...), '\n')
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			e.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

func (e *eventSource) dispatch(message func(data []byte)) {
	e.lastID = e.id
	if len(e.data) > 0 && (e.kind == "" || e.kind == "message") {
		message(e.data[:len(e.data)-1])
	}
	e.kind, e.data = "", e.data[:0]
}

// chunks decodes a chunked body.
type chunks struct {
	left int    // of the current chunk
	line []byte // an incomplete line between chunks
}

// feed calls data with the content of chunks, in pieces as they arrive.
func (c *chunks) feed(p []byte, data func([]byte) error) error {
	for len(p) > 0 {
		if c.left > 0 {
			n := min(c.left, len(p))
			c.left -= n
			if err := data(p[:n]); err != nil {
				return err
			}
			p = p[n:]
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			c.line = append(c.line, p...)
			return nil
		}
		line := append(c.line, p[:i]...)
		c.line, p = line[:0], p[i+1:]
		size, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(";"))
		if len(size) == 0 {
			continue // the line end after a chunk
		}
		n, err := strconv.ParseUint(string(size), 16, 31)
		if err != nil {
			return fmt.Errorf("the size of a chunk: %w", err)
		}
		if n == 0 {
			return errStreamEnd
		}
		c.left = int(n)
	}
	return nil
}
