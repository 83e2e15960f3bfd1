package bolt

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// pageSet is a set of pages: a bit for each.
type pageSet []uint64

func newPageSet(pages uint64) pageSet { return make(pageSet, pages/64+1) }

// add adds a page, and reports whether the set did not have it.
func (s pageSet) add(id uint64) bool {
	bit := uint64(1) << (id % 64)
	old := s[id/64]
	s[id/64] = old | bit
	return old&bit == 0
}

// keep removes the pages that are not in other.
func (s pageSet) keep(other pageSet) {
	for i := range s {
		if i < len(other) {
			s[i] &= other[i]
		} else {
			s[i] = 0
		}
	}
}

// remove removes the pages that are in other.
func (s pageSet) remove(other pageSet) {
	for i := range min(len(s), len(other)) {
		s[i] &^= other[i]
	}
}

// grown returns the set with room for some pages.
func (s pageSet) grown(pages uint64) pageSet {
	if missing := int(pages/64) + 1 - len(s); missing > 0 {
		return append(s, make(pageSet, missing)...)
	}
	return s
}

func (s pageSet) empty() bool {
	for _, word := range s {
		if word != 0 {
			return false
		}
	}
	return true
}

// run returns the first run of consecutive pages, at most most; there must be one.
func (s pageSet) run(most int) (first uint64, count int) {
	for i, word := range s {
		if word == 0 {
			continue
		}
		first = uint64(i*64 + bits.TrailingZeros64(word))
		for id := first; count < most && id/64 < uint64(len(s)) && s[id/64]>>(id%64)&1 == 1; id++ {
			count++
		}
		return first, count
	}
	return 0, 0
}

// cut removes consecutive pages.
func (s pageSet) cut(first uint64, count int) {
	for id := first; count > 0; id, count = id+1, count-1 {
		s[id/64] &^= 1 << (id % 64)
	}
}

// freePages returns the pages that the newest transaction does not use, including those
// that bbolt has reserved at the end of the file.
func freePages(r io.ReaderAt, size int64) (pageSet, boltMeta, error) {
	meta, err := readMeta(r, size)
	if err != nil {
		return nil, meta, err
	}
	all := uint64(size) / meta.pageSize
	free := newPageSet(all)
	for id := meta.pages; id < all; id++ {
		free.add(id)
	}
	if meta.freelist == noFreelist {
		return free, meta, nil
	}
	page := make([]byte, meta.pageSize)
	at := int64(meta.freelist * meta.pageSize)
	if _, err := r.ReadAt(page, at); err != nil {
		return nil, meta, err
	}
	if more := uint64(order.Uint32(page[12:])); more > 0 && more < all {
		page = make([]byte, (1+more)*meta.pageSize)
		if _, err := r.ReadAt(page, at); err != nil {
			return nil, meta, err
		}
	}
	ids, err := freeIDs(meta.freelist, page)
	if err != nil {
		return nil, meta, err
	}
	for ; len(ids) > 0; ids = ids[8:] {
		id := order.Uint64(ids)
		if id < 2 || id >= all {
			return nil, meta, fmt.Errorf("%w: there is no page %d", errDamaged, id)
		}
		free.add(id)
	}
	return free, meta, nil
}

// freeIDs returns the ids in a list of free pages, 8 bytes each.
func freeIDs(id uint64, page []byte) ([]byte, error) {
	if flags := order.Uint16(page[8:]); flags != freelistPage {
		return nil, fmt.Errorf("page %d has the flags %#x", id, flags)
	}
	list, count := page[pageHeader:], uint64(order.Uint16(page[10:]))
	if count == 0xffff { // a longer list: its length is the first entry
		if len(list) < 8 {
			return nil, errors.New("the list of free pages is cut off")
		}
		count, list = order.Uint64(list), list[8:]
	}
	if count > uint64(len(list))/8 {
		return nil, fmt.Errorf("the list of free pages has %d entries", count)
	}
	return list[:8*count], nil
}
