package bolt

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// boltMeta is the content of a meta page.
type boltMeta struct {
	pageSize, root, freelist, pages, txid uint64
}

// readMeta returns the newer of the two meta pages. Both must be intact: the older
// one may not include the last messages. A crash does not tear them, because each
// is smaller than a disk sector.
func readMeta(r io.ReaderAt, size int64) (boltMeta, error) {
	first, err := parseMeta(r, 0)
	if err != nil {
		for pageSize := int64(1 << 10); pageSize < min(size, 1<<24); pageSize *= 2 {
			if _, secondErr := parseMeta(r, pageSize); secondErr == nil {
				return first, fmt.Errorf("%w: the first page: %w", errDamaged, err)
			}
		}
		return first, err
	}
	second, err := parseMeta(r, int64(first.pageSize))
	switch {
	case err != nil:
		return first, fmt.Errorf("%w: the second page: %w", errDamaged, err)
	case second.pageSize != first.pageSize:
		return first, fmt.Errorf("%w: its meta pages have different page sizes", errDamaged)
	case second.txid > first.txid:
		return second, nil
	}
	return first, nil
}

var errNoBolt = errors.New("it is not a bolt file")

func parseMeta(r io.ReaderAt, at int64) (boltMeta, error) {
	page := make([]byte, pageHeader+metaSize)
	if _, err := r.ReadAt(page, at); errors.Is(err, io.EOF) {
		return boltMeta{}, errNoBolt
	} else if err != nil {
		return boltMeta{}, err
	}
	m := page[pageHeader:]
	if order.Uint32(m) != boltMagic {
		return boltMeta{}, errNoBolt
	}
	if version := order.Uint32(m[4:]); version != boltVersion {
		return boltMeta{}, fmt.Errorf("it is a bolt file of version %d, not %d", version, boltVersion)
	}
	h := fnv.New64a()
	_, _ = h.Write(m[:metaSize-8])
	if h.Sum64() != order.Uint64(m[metaSize-8:]) {
		return boltMeta{}, fmt.Errorf("%w: a meta page does not match its checksum", errDamaged)
	}
	meta := boltMeta{
		pageSize: uint64(order.Uint32(m[8:])), root: order.Uint64(m[16:]),
		freelist: order.Uint64(m[32:]), pages: order.Uint64(m[40:]), txid: order.Uint64(m[48:]),
	}
	if meta.pageSize < 1<<10 || meta.pageSize > 1<<24 || meta.pageSize&(meta.pageSize-1) != 0 || meta.pages > 1<<40 {
		return boltMeta{}, fmt.Errorf("%w: it claims to have %d pages of %d bytes", errDamaged, meta.pages, meta.pageSize)
	}
	return meta, nil
}
