package h2tap

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// https://www.rfc-editor.org/rfc/rfc9113#section-4.1

const (
	headerLength = 9
	// maxData is the longest payload of a DATA frame that fits into one TLS record.
	// All peers take frames of this length.
	maxData = 16<<10 - headerLength
	// controlLength is the length of a WINDOW_UPDATE or RST_STREAM frame.
	controlLength = headerLength + 4
	pingLength    = 8
	goAwayLength  = 8

	maxWindow     = 1<<31 - 1
	initialWindow = 1<<16 - 1
)

// header is the header of a frame.
type header struct {
	length int
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32
}

func parseHeader(b []byte) header {
	return header{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   http2.FrameType(b[3]),
		flags:  http2.Flags(b[4]),
		stream: binary.BigEndian.Uint32(b[5:]) & maxWindow,
	}
}

func (h header) append(b []byte) []byte {
	b = append(b, byte(h.length>>16), byte(h.length>>8), byte(h.length), byte(h.kind), byte(h.flags))
	return binary.BigEndian.AppendUint32(b, h.stream)
}

// endsStream reports whether a frame is the sender's last one of a stream, apart from
// CONTINUATION frames.
func (h header) endsStream() bool {
	switch h.kind {
	case http2.FrameData, http2.FrameHeaders:
		return h.flags.Has(http2.FlagDataEndStream)
	case http2.FrameRSTStream:
		return true
	default:
		return false
	}
}

// opensBlock reports whether only a CONTINUATION frame may follow.
func (h header) opensBlock() bool {
	switch h.kind {
	case http2.FrameHeaders, http2.FramePushPromise, http2.FrameContinuation:
		return !h.flags.Has(http2.FlagHeadersEndHeaders)
	default:
		return false
	}
}

// appendControl appends a WINDOW_UPDATE or RST_STREAM frame.
func appendControl(b []byte, kind http2.FrameType, stream, value uint32) []byte {
	return binary.BigEndian.AppendUint32(header{length: 4, kind: kind, stream: stream}.append(b), value)
}

// appendGoAway appends a GOAWAY frame without an error.
func appendGoAway(b []byte, last uint32) []byte {
	b = header{length: 8, kind: http2.FrameGoAway}.append(b)
	b = binary.BigEndian.AppendUint32(b, last)
	return binary.BigEndian.AppendUint32(b, uint32(http2.ErrCodeNo))
}
