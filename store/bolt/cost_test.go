package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// witness records the transactions of a store, and how much work each has done.
type witness struct {
	mu  sync.Mutex
	txs map[*transaction]int // number of changes
}

func (w *witness) saw(tx *transaction) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.txs == nil {
		w.txs = make(map[*transaction]int)
	}
	w.txs[tx]++
}

// mostWork is the most work that a transaction may do: its changes, of which the last
// one may drop rooms, the nonces that it removes, and the messages that it trims.
func mostWork(stored int) int {
	return maxTxRecords + dropStep*recordsPerDrop + trailingRecords + trimStep + 2*stored
}

// check must be called after the store was closed.
func (w *witness) check(t *testing.T) {
	t.Helper()
	most := 0
	for tx := range w.txs {
		most = max(most, tx.work)
		if tx.work > mostWork(len(tx.stored)) {
			t.Errorf("a transaction has written %d records and stored %d messages, which is more than %d", tx.work, len(tx.stored), mostWork(len(tx.stored)))
		}
	}
	t.Logf("%d transactions, the largest of %d records", len(w.txs), most)
}

func tinyBatch(size int, nonce string) []store.Draft {
	drafts := make([]store.Draft, size)
	for i := range drafts {
		drafts[i] = store.Draft{Text: "x", Nonce: fmt.Sprint(nonce, "-", i)}
	}
	return drafts
}

// However many small messages wait at once, all are stored, in transactions that are
// short.
func TestManyBatchesOfTinyMessagesAreAllStored(t *testing.T) {
	hub := new(storetest.Hub)
	s := openAt(t, filepath.Join(fastDir(t), "chat.db"), hub, store.Limits{Count: 500, Rooms: 100})
	const batches, size = 100, 1000
	var w witness
	// keep the store busy, so that all of them wait
	busy, release := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.submit(t.Context(), cost{}, func(*transaction) error {
			close(busy)
			<-release
			return nil
		})
	}()
	<-busy
	var publishing sync.WaitGroup
	for b := range batches {
		publishing.Go(func() {
			room, drafts := fmt.Sprint("r", b%7), tinyBatch(size, fmt.Sprint(b))
			err := s.submit(t.Context(), costOf(drafts), func(tx *transaction) error {
				w.saw(tx)
				_, err := tx.append(room, drafts)
				return err
			})
			if err != nil {
				t.Errorf("batch %d: %v", b, err)
			}
		})
	}
	for waiting := 0; waiting < batches; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		waiting = len(s.waiting)
		s.mu.Unlock()
	}
	close(release)
	publishing.Wait()
	if got := len(hub.Delivered()); got != batches*size {
		t.Errorf("%d messages were delivered, want %d", got, batches*size)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.check(t)
	if len(w.txs) < batches*size*4/mostWork(0) {
		t.Errorf("%d batches were stored in %d transactions", batches, len(w.txs))
	}
}

// The change that has waited longest comes first, whatever it costs.
func TestChangesAreMadeInTheOrderInWhichTheyCame(t *testing.T) {
	s := new(Store)
	for i := range 60 {
		drafts := tinyBatch(1+i%3*999, "n")
		if i%10 == 7 {
			drafts = []store.Draft{{Text: strings.Repeat("x", maxTxBytes/3)}}
		}
		s.waiting = append(s.waiting, &change{cost: costOf(drafts)})
	}
	want := s.waiting
	for len(s.waiting) > 0 {
		changes, _ := s.take()
		sum := cost{}
		for i, c := range changes {
			if c != want[i] {
				t.Fatal("a change came before one that had waited longer")
			}
			sum = sum.plus(c.cost)
		}
		want = want[len(changes):]
		if !sum.fits() {
			t.Errorf("a transaction takes in %+v", sum)
		}
		if len(want) > 0 && sum.plus(want[0].cost).fits() {
			t.Errorf("a transaction takes in %+v, and one more of %+v would fit", sum, want[0].cost)
		}
	}
	huge := &change{cost: cost{records: 2 * maxTxRecords}}
	s.waiting = []*change{huge, {}}
	if changes, _ := s.take(); len(changes) != 1 || changes[0] != huge {
		t.Errorf("one that fits nowhere is taken in with %d others", len(changes)-1)
	}
}

// If a change costs more than expected, the changes after it wait.
func TestATransactionEndsWhenItHasDoneEnough(t *testing.T) {
	const rooms = 20_000
	s := openAt(t, filepath.Join(fastDir(t), "chat.db"), new(storetest.Hub), store.Limits{Count: 10, Rooms: rooms})
	var w witness
	var publishing sync.WaitGroup
	publish := func(room string) error {
		return s.submit(t.Context(), costOf(make([]store.Draft, 1)), func(tx *transaction) error {
			w.saw(tx)
			_, err := tx.append(room, []store.Draft{storetest.Text("x")})
			return err
		})
	}
	for i := range rooms {
		publishing.Go(func() {
			if err := publish(fmt.Sprint("old", i)); err != nil {
				t.Error(err)
			}
		})
	}
	publishing.Wait()
	// now nearly all rooms must be dropped for the next ones
	s.Limit(store.Limits{Count: 10, Rooms: 2000})
	for i := range 1000 {
		publishing.Go(func() {
			if err := publish(fmt.Sprint("new", i)); err != nil {
				t.Error(err)
			}
		})
	}
	publishing.Wait()
	for left := rooms; left > 2000; time.Sleep(time.Millisecond) {
		held, err := s.Rooms(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left = len(held)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.check(t)
}

// A transaction that trims does a limited amount of work, however much there is.
func TestTrimmingGoesInSteps(t *testing.T) {
	s := openAt(t, filepath.Join(fastDir(t), "chat.db"), new(storetest.Hub), storetest.Plenty)
	const size = 40_000
	for range size / 1000 {
		storetest.MustAppend(t, s, "a", tinyBatch(1000, "")...)
	}
	var w witness
	s.Limit(store.Limits{Count: 1, Rooms: 10})
	if err := s.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for left := true; left; {
		err := s.submitLast(t.Context(), func(tx *transaction) error {
			w.saw(tx)
			number, _, err := numberOf(tx.rooms, "a")
			if err != nil {
				return err
			}
			rooms, err := tx.trim([]uint64{number})
			left = len(rooms) > 0
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.check(t)
}

// What was said in many pieces takes as much of the file as what was said at once.
func TestAppendsLeaveOneMessage(t *testing.T) {
	const pieces = 2000
	size := func(say func(*Store)) int64 {
		t.Helper()
		s := openAt(t, filepath.Join(fastDir(t), "chat.db"), new(storetest.Hub), storetest.Plenty)
		say(s)
		// a backup has no free pages
		copied, err := s.file.copy(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer copied.close()
		compact, err := copied.Stat()
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(s.path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes, of which a backup has %d", info.Size(), compact.Size())
		if n := records(t, s, messagesBucket); n != 1 {
			t.Errorf("%d messages are in the file", n)
		}
		if info.Size() > 256<<10 {
			t.Errorf("the file has %d bytes for a message of %d", info.Size(), 6*pieces)
		}
		return compact.Size()
	}
	once := size(func(s *Store) {
		storetest.MustAppend(t, s, "a", storetest.Text("%s", strings.Repeat("token ", pieces)))
	})
	inPieces := size(func(s *Store) {
		m := storetest.MustAppend(t, s, "a", store.Draft{Owner: kim, Data: "1"})[0]
		for range pieces {
			amend(t, s, m, store.Change{Kind: store.Append, Text: "token "})
		}
	})
	if inPieces != once {
		t.Errorf("a backup has %d bytes, and %d of what was said at once", inPieces, once)
	}
}
