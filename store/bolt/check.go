package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// The checker is written by hand because bbolt's own check needs an open
// database, and bbolt trusts the pages that it opens: only its two meta pages have
// a checksum, so a damaged file may cause wrong results, panics or endless loops.
//
// The layout is that of bbolt's internal/common/page.go and meta.go, version 2.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16 // id, flags, count, overflow
	elementSize = 16 // of branch and leaf pages
	metaSize    = 64

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketElement = 0x01
	noFreelist    = ^uint64(0)
	maxDepth      = 32
)

// checkTime is how long check may read leaf pages before it leaves out the rest,
// which is read after the start. It is enough for a million messages in the page
// cache.
const checkTime = 400 * time.Millisecond

var order = binary.NativeEndian

// errForeign is returned for a bolt file that another program has made.
var errForeign = errors.New("it is a bolt file of another program")

// check returns an error if a page or a record is damaged. complete is false if
// the file is so large that some records were left out.
func check(r io.ReaderAt, size int64) (complete bool, err error) {
	meta, err := readMeta(r, size)
	if err != nil {
		return false, err
	}
	if have := uint64(size) / meta.pageSize; have < meta.pages {
		return false, fmt.Errorf("%w: it is cut off after %d pages of %d", errDamaged, have, meta.pages)
	}
	c := &checker{r: r, meta: meta, seen: newPageSet(meta.pages), until: time.Now().Add(checkTime), complete: true}
	if _, err = c.tree(meta.root, nil, nil, 0, true); err == nil {
		err = c.freelist()
	}
	if err != nil && !errors.Is(err, errForeign) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return c.complete, err
}

// checker walks the pages of a file.
type checker struct {
	r     io.ReaderAt
	meta  boltMeta
	seen  pageSet // the pages that are in use
	pages [maxDepth + 1][]byte
	until time.Time
	// complete is false once a leaf was left out for lack of time.
	complete bool
}

// page reads a page and marks it as in use. The result is valid until the next
// page of the same depth is read.
func (c *checker) page(id uint64, depth int) ([]byte, error) {
	if err := c.use(id, 1); err != nil {
		return nil, err
	}
	if c.pages[depth] == nil {
		c.pages[depth] = make([]byte, c.meta.pageSize)
	}
	page := c.pages[depth]
	if _, err := c.r.ReadAt(page, int64(id*c.meta.pageSize)); err != nil {
		return nil, err
	}
	if order.Uint64(page) != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, order.Uint64(page))
	}
	more := uint64(order.Uint32(page[12:]))
	if more == 0 {
		return page, nil
	}
	if err := c.use(id+1, more); err != nil {
		return nil, err
	}
	page = make([]byte, (1+more)*c.meta.pageSize)
	_, err := c.r.ReadAt(page, int64(id*c.meta.pageSize))
	return page, err
}

// use marks pages as in use. It returns an error if one of them is already, or
// does not exist.
func (c *checker) use(id, count uint64) error {
	if id < 2 || id >= c.meta.pages || count > c.meta.pages-id {
		return fmt.Errorf("there is no page %d", id+count-1)
	}
	for ; count > 0; id, count = id+1, count-1 {
		if !c.seen.add(id) {
			return fmt.Errorf("page %d is used twice", id)
		}
	}
	return nil
}

// tree checks the tree below a page, whose keys must be from <= key < to. buckets
// is set if its values are buckets. It reports whether the page is a leaf.
func (c *checker) tree(id uint64, from, to []byte, depth int, buckets bool) (leaf bool, err error) {
	if depth > maxDepth {
		return false, fmt.Errorf("page %d is too deep in the tree", id)
	}
	page, err := c.page(id, depth)
	if err != nil {
		return false, err
	}
	switch flags := order.Uint16(page[8:]); flags {
	case branchPage:
		return false, c.branch(id, page, from, to, depth, buckets)
	case leafPage:
		return true, c.leaf(id, page, from, to, depth, buckets)
	default:
		return false, fmt.Errorf("page %d has the flags %#x", id, flags)
	}
}

// element returns size bytes of a page that begin pos bytes after the element
// header at offset at. It reports false if they are not inside the page.
func element(page []byte, at, pos, size int) ([]byte, bool) {
	if start := at + pos; pos >= 0 && size >= 0 && start >= at && start+size >= start && start+size <= len(page) {
		return page[start : start+size], true
	}
	return nil, false
}

// ascending reports whether the next key of a page is greater than the last one
// and from <= key < to.
func ascending(key, last, from, to []byte, first bool) bool {
	if len(key) == 0 || to != nil && bytes.Compare(key, to) >= 0 {
		return false
	}
	if first {
		return bytes.Compare(key, from) >= 0
	}
	return bytes.Compare(key, last) > 0
}

func (c *checker) branch(id uint64, page, from, to []byte, depth int, buckets bool) error {
	count := int(order.Uint16(page[10:]))
	if count == 0 || pageHeader+count*elementSize > len(page) {
		return fmt.Errorf("page %d has %d branches", id, count)
	}
	keys, children := make([][]byte, count), make([]uint64, count)
	var last []byte
	for i := range count {
		at := pageHeader + i*elementSize
		key, ok := element(page, at, int(order.Uint32(page[at:])), int(order.Uint32(page[at+4:])))
		if !ok || !ascending(key, last, from, to, i == 0) {
			return fmt.Errorf("page %d: branch %d has a wrong key", id, i)
		}
		keys[i], children[i], last = key, order.Uint64(page[at+8:]), key
	}
	leaves := false // either all children of a page are leaves, or none is
	for i, child := range children {
		if leaves && time.Now().After(c.until) {
			c.complete = false
			if err := c.use(child, 1); err != nil {
				return err
			}
			continue
		}
		end := to
		if i+1 < count {
			end = keys[i+1]
		}
		var err error
		if leaves, err = c.tree(child, keys[i], end, depth+1, buckets); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) leaf(id uint64, page, from, to []byte, depth int, buckets bool) error {
	count := int(order.Uint16(page[10:]))
	if pageHeader+count*elementSize > len(page) {
		return fmt.Errorf("page %d has %d elements", id, count)
	}
	var last []byte
	for i := range count {
		at := pageHeader + i*elementSize
		flags, pos := order.Uint32(page[at:]), int(order.Uint32(page[at+4:]))
		keySize, valueSize := int(order.Uint32(page[at+8:])), int(order.Uint32(page[at+12:]))
		both, ok := element(page, at, pos, keySize+valueSize)
		if !ok || keySize > len(both) {
			return fmt.Errorf("page %d: element %d is not inside it", id, i)
		}
		key, value := both[:keySize], both[keySize:]
		if !ascending(key, last, from, to, i == 0) {
			return fmt.Errorf("page %d: element %d has a wrong key", id, i)
		}
		last = key
		if isBucket := flags&bucketElement != 0; isBucket != buckets {
			return fmt.Errorf("page %d: element %d has the flags %#x", id, i, flags)
		}
		if !buckets {
			if _, err := unseal(key, value); err != nil {
				return fmt.Errorf("page %d: %w", id, err)
			}
			continue
		}
		if !slices.ContainsFunc(allBuckets, func(name []byte) bool { return bytes.Equal(name, key) }) {
			return fmt.Errorf("%w: it has a bucket %.40q", errForeign, key)
		}
		if err := c.bucket(id, value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks the contents of a bucket. Those of a small one are inline.
func (c *checker) bucket(id uint64, value []byte, depth int) error {
	if len(value) < 16 {
		return fmt.Errorf("page %d: a bucket has %d bytes", id, len(value))
	}
	if root := order.Uint64(value); root != 0 {
		_, err := c.tree(root, nil, nil, depth, false)
		return err
	}
	if inline := value[16:]; len(inline) >= pageHeader && order.Uint16(inline[8:]) == leafPage {
		return c.leaf(id, inline, nil, nil, depth, false)
	}
	return fmt.Errorf("page %d: a bucket has no contents", id)
}

// freelist checks the list of free pages.
func (c *checker) freelist() error {
	if c.meta.freelist == noFreelist {
		return nil
	}
	page, err := c.page(c.meta.freelist, 0)
	if err != nil {
		return err
	}
	ids, err := freeIDs(c.meta.freelist, page)
	if err != nil {
		return err
	}
	for ; len(ids) > 0; ids = ids[8:] {
		if id := order.Uint64(ids); id < 2 || id >= c.meta.pages || !c.seen.add(id) {
			return fmt.Errorf("page %d is not free", id)
		}
	}
	return nil
}
