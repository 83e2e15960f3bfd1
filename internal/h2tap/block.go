package h2tap

import (
	"bytes"
	"errors"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A compressed header block refers to a table that all earlier blocks of the client
// have filled. A session that has not seen those cannot decode it, so the tap encodes
// it anew.

const (
	// tableSize is the size of the client's table that x/net allows.
	tableSize = 4 << 10
	// maxBlock is the longest header block, in bytes, that the tap collects. Longer
	// ones are left to the session.
	maxBlock = 64 << 10
	// maxFields is the longest header block, in bytes before or after compression,
	// that the tap encodes anew. x/net takes about as much.
	maxFields = 1 << 20
)

var errBlock = errors.New("a header block cannot be encoded for a new session")

// blocks decodes the header blocks of a client.
type blocks struct {
	decoder *hpack.Decoder
	isLost  bool // whether the table is no longer known

	first    header // of the current block
	raw      []byte // its frames as they came; nil between blocks
	fragment []byte // their compressed part
	payload  int    // where the payload of the current frame begins in raw

	encoder *hpack.Encoder // of the current block; nil for the first session
	size    int            // of the fields so far
	encoded bytes.Buffer
}

func newBlocks() *blocks {
	b := new(blocks)
	b.decoder = hpack.NewDecoder(tableSize, b.field)
	b.decoder.SetEmitEnabled(false)
	return b
}

// limit returns how long a block may be, in bytes.
func (b *blocks) limit(isFirst bool) int {
	if isFirst {
		return maxBlock
	}
	return maxFields
}

// begin begins a frame of a block.
func (b *blocks) begin(h header, frame []byte) {
	if h.kind == http2.FrameHeaders {
		b.first = h
		b.fragment = nil
	}
	b.raw = append(b.raw, frame...)
	b.payload = len(b.raw)
}

// end ends a frame of a block.
func (b *blocks) end(h header) {
	p := b.raw[b.payload:]
	if h.kind == http2.FrameHeaders {
		p = unpadded(h, p)
	}
	b.fragment = append(b.fragment, p...)
}

// unpadded returns the compressed part of a HEADERS frame's payload, or nil if the
// server refuses the frame.
func unpadded(h header, p []byte) []byte {
	padding := 0
	if h.flags.Has(http2.FlagHeadersPadded) {
		if len(p) == 0 {
			return nil
		}
		padding = int(p[0])
		p = p[1:]
	}
	if h.flags.Has(http2.FlagHeadersPriority) {
		p = p[min(5, len(p)):]
	}
	return p[:max(0, len(p)-padding)]
}

// take returns the frames of a block that is complete: for the first session as they
// came, for a later one encoded anew.
func (b *blocks) take(isFirst bool) ([]byte, error) {
	defer func() { b.raw, b.fragment, b.encoder, b.payload = nil, nil, nil, 0 }()
	if !isFirst {
		b.encoded.Reset()
		b.size = 0
		b.encoder = hpack.NewEncoder(&b.encoded)
		b.encoder.SetMaxDynamicTableSize(0)
	}
	b.decoder.SetEmitEnabled(!isFirst)
	_, err := b.decoder.Write(b.fragment)
	if err == nil {
		err = b.decoder.Close()
	}
	if err != nil || b.size > maxFields {
		if !isFirst {
			return nil, errBlock
		}
		b.isLost = true // the session deals with it
	}
	if isFirst {
		return b.raw, nil
	}
	defer func() { b.encoded = bytes.Buffer{} }()
	h := header{length: b.encoded.Len(), kind: http2.FrameHeaders, stream: b.first.stream}
	h.flags = b.first.flags&http2.FlagHeadersEndStream | http2.FlagHeadersEndHeaders
	return append(h.append(nil), b.encoded.Bytes()...), nil
}

// field encodes a field anew.
func (b *blocks) field(f hpack.HeaderField) {
	if b.size += int(f.Size()); b.size > maxFields {
		b.decoder.SetEmitEnabled(false)
		return
	}
	_ = b.encoder.WriteField(f)
}
