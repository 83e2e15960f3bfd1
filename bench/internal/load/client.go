package load

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// client is one EventSource. All of it belongs to the thread of its [Clients],
// except that a worker opens the connection.
type client struct {
	events eventSource
	conn   *conn // nil while it has none

	head    []byte // of the answer, until it is complete
	opened  bool   // the current stream was answered
	gaveUp  bool   // as an EventSource does at any status other than 200
	chunks  *chunks
	left    int // of a body with a length; -1 if it has none
	frames  *frames
	seen    numbers
	doubled int

	openedAt time.Time // the last time that a stream was answered
	lostAt   time.Time // the last time that a stream ended
	outage   time.Time // end of the last outage
	nextCut  time.Time
}

// feed takes data from the connection, and calls message for each message in it.
func (c *client) feed(p []byte, message func(data []byte)) error {
	body := func(p []byte) error {
		c.events.feed(p, message)
		return nil
	}
	if c.frames != nil {
		err := c.frames.feed(p, func(p []byte) error {
			c.opened = true
			return body(p)
		})
		c.opened = c.opened || c.frames.opened
		return err
	}
	if !c.opened {
		c.head = append(c.head, p...)
		head, rest, found := bytes.Cut(c.head, []byte("\r\n\r\n"))
		if !found {
			return nil
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("%w: %q", errRefused, c.head)
		}
		c.opened, c.head, p = true, nil, rest
		if err := c.frame(bytes.ToLower(head)); err != nil {
			return err
		}
	}
	switch {
	case c.chunks != nil:
		return c.chunks.feed(p, body)
	case c.left > len(p):
		c.left -= len(p)
	case c.left >= 0: // an answer without a stream, as of a server that is full
		return errors.Join(body(p), errStreamEnd)
	}
	return body(p)
}

// frame takes from the head of an answer how its body ends.
func (c *client) frame(head []byte) error {
	if bytes.Contains(head, []byte("\r\ntransfer-encoding: chunked")) {
		c.chunks = new(chunks)
	}
	_, length, ok := bytes.Cut(head, []byte("\r\ncontent-length: "))
	if !ok {
		return nil
	}
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	var err error
	c.left, err = strconv.Atoi(string(length))
	return err
}

// begin prepares the client for a new connection.
func (c *client) begin(conn *conn, over protocol.Name) {
	c.conn, c.opened, c.head, c.chunks, c.left, c.frames = conn, false, nil, nil, -1, nil
	if over == protocol.H2 {
		c.frames = new(frames)
	}
	c.events.restart()
}

// numbers is a set of message numbers.
type numbers []uint64

// add adds a number. It reports whether it is new.
func (s *numbers) add(n int) bool {
	for n/64 >= len(*s) {
		*s = append(*s, 0)
	}
	before := (*s)[n/64]
	(*s)[n/64] |= 1 << (n % 64)
	return (*s)[n/64] != before
}

// missing returns how many numbers of all are not in the set.
func (s numbers) missing(all numbers) (n int) {
	for i, word := range all {
		if i < len(s) {
			word &^= s[i]
		}
		n += bits.OnesCount64(word)
	}
	return n
}

// AppendText appends the text of a message with its number and the time of its
// publication, for [Clients] to find. It has a size of at least 32 bytes.
func AppendText(dst []byte, number, size int, now time.Time) []byte {
	begin := len(dst)
	dst = appendStamp(dst, now)
	dst = strconv.AppendInt(append(dst, '#'), int64(number), 10)
	dst = append(dst, '#')
	for len(dst)-begin < size {
		dst = append(dst, 'x')
	}
	return dst
}

// parseText finds the number and the time in the data of a message.
func parseText(data []byte) (number int, sent time.Time, ok bool) {
	i := bytes.Index(data, []byte(stamp))
	if i < 0 || len(data) < i+stampWidth+1 {
		return 0, time.Time{}, false
	}
	at, err := strconv.ParseInt(string(data[i+len(stamp):i+stampWidth]), 10, 64)
	text, _, _ := bytes.Cut(data[i+stampWidth+1:], []byte("#"))
	number, err2 := strconv.Atoi(string(text))
	return number, time.Unix(0, at), err == nil && err2 == nil && number >= 0
}
