package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

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
	if name, value, ok := strings.Cut(strings.TrimSpace(header), ": "); ok {
		fields = append(fields, hpack.HeaderField{Name: strings.ToLower(name), Value: value})
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
	rest   []byte // of an incomplete frame
}

const frameHeader = 9

// feed calls data with the content of DATA frames, in pieces as they arrive.
func (f *frames) feed(p []byte, data func([]byte) error) error {
	if len(f.rest) > 0 {
		p = append(f.rest, p...)
		f.rest = nil
	}
	for len(p) > 0 {
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
			if http2.Flags(p[4]).Has(http2.FlagDataEndStream) {
				return errStreamEnd
			}
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
	if len(p) > 0 {
		f.rest = bytes.Clone(p)
	}
	return nil
}

var errStreamEnd = fmt.Errorf("the stream has ended")

// control handles a frame without data. Settings and windows are ignored.
func (f *frames) control(kind http2.FrameType, payload []byte) error {
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
		return fmt.Errorf("refused: %v", fields)
	}
	f.opened = true
	return nil
}
