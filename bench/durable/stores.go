package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dunglas/mercure"
	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/bolt"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

// text is the text of each message.
var text = strings.Repeat("x", 100)

// hub is a hub without readers.
type hub struct{}

func (hub) Deliver([]*store.Message)             {}
func (hub) Changed(_, _ *store.Message)          {}
func (hub) Deleted(string, store.ID, store.ID)   {}
func (hub) Forgotten(string, store.ID, store.ID) {}
func (hub) Reading(string) bool                  { return false }

var limits = store.Limits{Count: 1000, Rooms: 100_000}

// stores compares stores in this process.
func (b *bench) stores() error {
	if err := b.alone(); err != nil {
		return err
	}
	var contenders []*contender
	for _, name := range storeNames {
		contenders = append(contenders, &contender{name: name, measure: func() (sample, error) {
			publish, done, err := b.open(name)
			if err != nil {
				return sample{}, err
			}
			defer done()
			return b.flood(b.many, func(int) error { return publish() })
		}})
	}
	return b.compare(fmt.Sprintf("Stores alone, %d publishers in one room, 100 bytes", b.many), contenders)
}

// alone lets one publisher use all stores in turn, message by message, so that
// other load on the machine affects all of them equally.
func (b *bench) alone() error {
	took := make([][]float64, len(storeNames))
	publishers := make([]func() error, len(storeNames))
	for i, name := range storeNames {
		publish, done, err := b.open(name)
		if err != nil {
			return err
		}
		defer done()
		publishers[i] = publish
	}
	for begin := time.Now(); time.Since(begin) < time.Duration(b.rounds)*b.time; {
		for i, publish := range publishers {
			start := time.Now()
			if err := publish(); err != nil {
				return fmt.Errorf("%s: %w", storeNames[i], err)
			}
			took[i] = append(took[i], float64(time.Since(start).Nanoseconds())/1000)
		}
	}
	first := median(took[0])
	fmt.Printf("\nStores alone, one publisher, in turn, 100 bytes, %d messages\n\n| | median latency, µs | × |\n|---|---|---|\n", len(took[0]))
	for i, name := range storeNames {
		fmt.Printf("| %s | %.0f | %.2f |\n", name, median(took[i]), median(took[i])/first)
	}
	return nil
}

const (
	bare        = "bare bbolt transaction"
	ours        = "store bolt"
	oursNonces  = "store bolt, with nonces"
	mercureBolt = "Mercure's bolt transport"
	ourMemory   = "store memory"
)

var storeNames = []string{bare, ours, oursNonces, mercureBolt, ourMemory}

// open opens a new store and returns functions that publish to it and close it.
func (b *bench) open(name string) (publish func() error, done func() error, err error) {
	var n atomic.Uint64
	switch name {
	case bare:
		db, err := bbolt.Open(b.file(), 0o600, nil)
		if err != nil {
			return nil, nil, err
		}
		return func() error {
			return db.Update(func(tx *bbolt.Tx) error {
				bucket, err := tx.CreateBucketIfNotExists([]byte("messages"))
				if err != nil {
					return err
				}
				return bucket.Put(fmt.Appendf(nil, "%024d", n.Add(1)), []byte(text))
			})
		}, db.Close, nil
	case mercureBolt:
		// keeps as many as our store
		transport, err := mercure.NewBoltTransport(zap.NewNop(), b.file(), "", 1000, mercure.BoltDefaultCleanupFrequency)
		if err != nil {
			return nil, nil, err
		}
		return func() error {
			return transport.Dispatch(&mercure.Update{Event: mercure.Event{Data: text}, Topics: []string{"https://example.com/room"}})
		}, transport.Close, nil
	}
	var s store.Store
	if name == ourMemory {
		s = memory.Open(hub{}, limits)
	} else if s, err = bolt.Open(b.file(), "bench", hub{}, limits, nil); err != nil {
		return nil, nil, err
	}
	return func() error {
		draft := store.Draft{Text: text}
		if name == oursNonces {
			draft.Nonce = fmt.Sprint(n.Add(1))
		}
		_, err := s.Append(context.Background(), "room", []store.Draft{draft})
		return err
	}, s.Close, nil
}
