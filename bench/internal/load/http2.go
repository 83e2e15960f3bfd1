package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// getRequest is everything that a reader sends. The header lines each have their
// line end.
func getRequest(over protocol.Name, host, path, header string) []byte {
	if over == protocol.H2 {
		return http2Request(host, path, header)
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", path, host, header)
}

// http2Request is everything that a reader sends over HTTP/2: windows too large
// for any measurement to fill, and one request.
func http2Request(host, path, header string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "GET"},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: host},
		{Name: ":path", Value: path},
		{Name: "accept", Value: "text/event-stream"},
	}
	for line := range strings.Lines(header) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			fields = append(fields, hpack.HeaderField{Name: strings.ToLower(name), Value: value})
		}
	}
	for _, field := range fields {
		_ = encoder.WriteField(field) // a buffer never fails
	}
	var request bytes.Buffer
	request.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&request, nil)
	_ = framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32},
	)
	_ = framer.WriteWindowUpdate(0, math.MaxInt32-65535)
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	return request.Bytes()
}

// frames parses the frames of a connection.
type frames struct {
	opened bool
	left   int    // of the current DATA frame
	last   bool   // the stream ends with the current DATA frame
	rest   []byte // of an incomplete frame
}

const frameHeader = 9

// feed calls data with the content of DATA frames, in pieces as they arrive.
func (f *frames) feed(p []byte, data func([]byte) error) error {
	if len(f.rest) > 0 {
		p = append(f.rest, p...)
		f.rest = nil
	}
	for {
		if f.left == 0 && f.last {
			return errStreamEnd
		}
		if len(p) == 0 {
			return nil
		}
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left -= n
			if err := data(p[:n]); err != nil {
				return err
			}
			p = p[n:]
			continue
		}
		if len(p) < frameHeader {
			break
		}
		length := int(binary.BigEndian.Uint32(p) >> 8)
		if http2.FrameType(p[3]) == http2.FrameData {
			f.last = http2.Flags(p[4]).Has(http2.FlagDataEndStream)
			f.left, p = length, p[frameHeader:]
			continue
		}
		if len(p) < frameHeader+length {
			break
		}
		if err := f.control(http2.FrameType(p[3]), p[frameHeader:frameHeader+length]); err != nil {
			return err
		}
		p = p[frameHeader+length:]
	}
	f.rest = bytes.Clone(p)
	return nil
}

var (
	errStreamEnd = errors.New("the stream has ended")
	errRefused   = errors.New("refused")
)

// control handles a frame without data. Settings and windows are ignored.
func (f *frames) control(kind http2.FrameType, payload []byte) error {
	if kind == http2.FrameGoAway && isGraceful(payload) {
		return nil
	}
	if kind == http2.FrameRSTStream || kind == http2.FrameGoAway {
		return fmt.Errorf("%s: %q", kind, payload)
	}
	if kind != http2.FrameHeaders {
		return nil
	}
	fields, err := hpack.NewDecoder(4096, nil).DecodeFull(payload)
	if err != nil {
		return err
	}
	if len(fields) == 0 || fields[0].Value != "200" {
		return fmt.Errorf("%w: %v", errRefused, fields)
	}
	f.opened = true
	return nil
}

// isGraceful reports whether a GOAWAY lets a reader's stream, the first of its
// connection, go on.
func isGraceful(goAway []byte) bool {
	return len(goAway) >= 8 && binary.BigEndian.Uint32(goAway)<<1 != 0 && binary.BigEndian.Uint32(goAway[4:]) == uint32(http2.ErrCodeNo)
}
