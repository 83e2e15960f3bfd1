package bolt

import (
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/idle"
)

// transaction is a write transaction, with what it has changed so far. Only the
// writing goroutine uses it.
type transaction struct {
	store    *Store
	bolt     *bbolt.Tx
	id       uint64 // of bolt
	messages *bbolt.Bucket
	rooms    *bbolt.Bucket
	retention
	now time.Time
	log logRecord
	// records holds the room records that were read, by room number.
	records map[uint64]*openRecord
	// work is how many records were written or removed so far. Reads count in
	// units of readsPerRecord.
	work int

	stored  []*store.Message      // to be delivered
	notices []notice              // to be told to the hub
	fresh   map[nonceKey]store.ID // messages and changes made in this transaction
	kept    []nonceEntry          // new nonces
	resized map[store.ID]int      // sizes of the records of nonces that were replaced
	garbage map[uint64]int        // numbers of messages that were hidden, by room
	urgent  []uint64              // rooms to trim soon
	active  []string              // rooms published to
	dropped map[string]bool       // rooms dropped
	erase   bool                  // what it has removed must be overwritten

	droppable *idle.Search[string] // nil until a room has to be dropped

	expired int // how many of the oldest nonces were removed
}

// openRecord is a room's record in a transaction. finish writes those that have
// changed.
type openRecord struct {
	roomRecord
	changed bool
	settled bool // see settle
	newest  newest
}

// notice is a call of the hub after the commit.
type notice struct {
	// stored is how many messages of the transaction come before it.
	stored int
	call   func()
}

// notify adds a call of the hub, in the order of the log.
func (tx *transaction) notify(call func()) {
	tx.notices = append(tx.notices, notice{len(tx.stored), call})
}

// tell passes on to the hub what was stored, changed and removed, in the order of the
// log.
func (tx *transaction) tell() {
	deliver := func(messages []*store.Message) {
		if len(messages) > 0 {
			tx.store.hub.Deliver(messages)
		}
	}
	delivered := 0
	for _, n := range tx.notices {
		deliver(tx.stored[delivered:n.stored:n.stored])
		delivered = n.stored
		n.call()
	}
	deliver(tx.stored[delivered:])
}

func (s *Store) begin(bolt *bbolt.Tx) (*transaction, error) {
	tx, err := s.reading(bolt, s.retention())
	if err != nil {
		return nil, err
	}
	if err := s.eraser.begin(tx.id - 1); err != nil {
		return nil, err
	}
	// fill pages, because rooms grow at their end
	tx.messages.FillPercent = 0.9
	return tx, nil
}

// reading returns a transaction as begin does, for whoever only reads and does not finish
// it. Any goroutine may use it.
func (s *Store) reading(bolt *bbolt.Tx, kept retention) (*transaction, error) {
	log, err := getLog(bolt)
	if err != nil {
		return nil, err
	}
	return &transaction{
		store: s, bolt: bolt, id: uint64(bolt.ID()), //nolint:gosec // it counts transactions
		messages: bolt.Bucket(messagesBucket), rooms: bolt.Bucket(roomsBucket),
		retention: kept, now: s.now(), log: log, records: make(map[uint64]*openRecord),
	}, nil
}

// finish writes the changed records of rooms and of the log, and removes expired
// nonces.
func (tx *transaction) finish() error {
	if err := tx.expireNonces(); err != nil {
		return err
	}
	for number, r := range tx.records {
		if !r.changed {
			continue
		}
		key := stateKey(number)
		if err := tx.messages.Put(key, seal(key, r.encode())); err != nil {
			return err
		}
		tx.work++
	}
	tx.log.erase = tx.erase || tx.store.eraser.pending()
	return tx.bolt.Bucket(logBucket).Put(logKey, seal(logKey, tx.log.encode()))
}
