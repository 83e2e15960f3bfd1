package load

import (
	"errors"
	"fmt"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// Visit makes n readers connect, wait for their answers, and leave. The first of
// them is the i-th of all readers.
func Visit(to Target, i, n int) error {
	visitors := make([]*stream, 0, n)
	defer func() {
		for _, v := range visitors {
			v.conn.close()
		}
	}()
	for k := range n {
		c, err := dial(to.Addr, to.Over, i+k)
		if err != nil {
			return err
		}
		v := &stream{conn: c}
		visitors = append(visitors, v)
		if to.Over == protocol.H2 {
			v.frames = new(frames)
		}
		if err := c.write(getRequest(to.Over, to.Addr, to.Path(i+k), to.Header)); err != nil {
			return err
		}
	}
	buf, plain := make([]byte, 64<<10), make([]byte, 16<<10)
	for _, v := range visitors {
		for !v.opened {
			err := v.conn.receive(buf, plain, func(p []byte) error {
				_, err := v.feed(p, 0, 0)
				return err
			})
			if err != nil && !errors.Is(err, again) {
				return fmt.Errorf("a visitor: %w", err)
			}
		}
	}
	return nil
}
