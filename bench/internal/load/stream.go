package load

import (
	"bytes"
	"fmt"
)

// stream is the state to count the events of a stream by the blank lines between
// them.
type stream struct {
	conn   *conn
	opened bool
	broken bool   // the last byte ended a line
	head   []byte // of the answer, until it is complete
	frames *frames
	sample *sample
}

// feed takes the next data. It returns how many events ended in it.
func (s *stream) feed(p []byte, now int64, phase int) (events int, err error) {
	if s.frames == nil {
		return s.body(p, now, phase)
	}
	err = s.frames.feed(p, func(data []byte) error {
		n, err := s.count(data, now, phase)
		events += n
		return err
	})
	s.opened = s.frames.opened
	return events, err
}

// body takes the answer over HTTP/1.1.
func (s *stream) body(p []byte, now int64, phase int) (int, error) {
	if !s.opened {
		s.head = append(s.head, p...)
		head, rest, found := bytes.Cut(s.head, []byte("\r\n\r\n"))
		if !found {
			return 0, nil
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
			return 0, fmt.Errorf("refused: %q", s.head)
		}
		s.opened, s.head, p = true, nil, rest
	}
	return s.count(p, now, phase)
}

func (s *stream) count(p []byte, now int64, phase int) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n := bytes.Count(p, []byte("\n\n"))
	if s.broken && p[0] == '\n' {
		n++
	}
	s.broken = p[len(p)-1] == '\n' && (len(p) < 2 || p[len(p)-2] != '\n')
	if s.sample != nil {
		s.sample.feed(p, now, phase)
	}
	return n, nil
}
