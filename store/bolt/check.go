package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"time"
)

// bbolt trusts what is in its pages and has no checksum but that of its two
// meta pages, so a damaged file may give wrong answers, panic, or never come to
// an end. What follows looks at a file before bbolt does.
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

// checkTime is how long a start may be spent on the contents of leaf pages. It
// is enough for a million messages that are in the page cache; the rest is
// read after the start.
const checkTime = 400 * time.Millisecond

var order = binary.NativeEndian

// errForeign is returned for a bolt file that something else has made.
var errForeign = errors.New("it is a bolt file of another program")

// check returns an error if bbolt would trip over a file, or if a record is
// damaged. If the file is large it leaves some records out, and says so.
func check(r io.ReaderAt, size int64) (complete bool, err error) {
	meta, err := readMeta(r, size)
	if err != nil {
		return false, err
	}
	if have := uint64(size) / meta.pageSize; have < meta.pages {
		return false, fmt.Errorf("%w: it is cut off after %d pages of %d", errDamaged, have, meta.pages)
	}
	c := &checker{r: r, meta: meta, seen: make([]uint64, meta.pages/64+1), until: time.Now().Add(checkTime), complete: true}
	if _, err = c.tree(meta.root, nil, nil, 0, true); err == nil {
		err = c.freelist()
	}
	if err != nil && !errors.Is(err, errForeign) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return c.complete, err
}

// boltMeta is a meta page.
type boltMeta struct {
	pageSize, root, freelist, pages, txid uint64
}

// readMeta returns the newer of the meta pages. Both have to be whole, because
// the newer one may be the only one that knows of the last message, and they
// are too small to be torn by a crash.
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
		return first, fmt.Errorf("%w: its first pages differ in their size", errDamaged)
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

// checker walks over the pages of a file.
type checker struct {
	r     io.ReaderAt
	meta  boltMeta
	seen  []uint64 // a bit for each page that is in use
	pages [maxDepth + 1][]byte
	until time.Time
	// complete tells that no leaf was left out for lack of time.
	complete bool
}

// visit notes that a page is in use, and reports whether that was new.
func (c *checker) visit(id uint64) bool {
	bit := uint64(1) << (id % 64)
	old := c.seen[id/64]
	c.seen[id/64] = old | bit
	return old&bit == 0
}

// page reads a page that nothing else uses. It is valid until the next one of
// that depth.
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

// use notes that pages are in use, which they must not be yet.
func (c *checker) use(id, count uint64) error {
	if id < 2 || id >= c.meta.pages || count > c.meta.pages-id {
		return fmt.Errorf("there is no page %d", id+count-1)
	}
	for ; count > 0; id, count = id+1, count-1 {
		if !c.visit(id) {
			return fmt.Errorf("page %d is used twice", id)
		}
	}
	return nil
}

// tree checks the tree below a page, whose keys are from <= key < to. buckets
// tells that its values are buckets. It reports whether that is a leaf.
func (c *checker) tree(id uint64, from, to []byte, depth int, buckets bool) (leaf bool, err error) {
	if depth > maxDepth {
		return false, fmt.Errorf("page %d lies too deep", id)
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

// element returns a piece of a page, which is counted from an element.
func element(page []byte, at, pos, size int) ([]byte, bool) {
	if start := at + pos; pos >= 0 && size >= 0 && start >= at && start+size >= start && start+size <= len(page) {
		return page[start : start+size], true
	}
	return nil, false
}

// ascending checks the next key of a page.
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
	leaves := false // all of a page's children are, or none
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

// bucket checks what a bucket holds, which may lie in the bucket itself.
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
	return fmt.Errorf("page %d: a bucket is neither here nor elsewhere", id)
}

// freelist checks the list of pages that are free.
func (c *checker) freelist() error {
	if c.meta.freelist == noFreelist {
		return nil
	}
	page, err := c.page(c.meta.freelist, 0)
	if err != nil {
		return err
	}
	if flags := order.Uint16(page[8:]); flags != freelistPage {
		return fmt.Errorf("page %d has the flags %#x", c.meta.freelist, flags)
	}
	list, count := page[pageHeader:], uint64(order.Uint16(page[10:]))
	if count == 0xffff { // more than that: the first entry tells
		if len(list) < 8 {
			return errors.New("the list of free pages is cut off")
		}
		count, list = order.Uint64(list), list[8:]
	}
	if count > uint64(len(list))/8 {
		return fmt.Errorf("the list of free pages has %d entries", count)
	}
	for ; count > 0; count, list = count-1, list[8:] {
		if id := order.Uint64(list); id < 2 || id >= c.meta.pages || !c.visit(id) {
			return fmt.Errorf("page %d is not free", id)
		}
	}
	return nil
}
