package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// requestTimeout is how long one request to JetStream may take.
	requestTimeout = 3 * time.Second
	// pageBytes is how many bytes one request asks for, at most.
	pageBytes = 4 << 20
)

// getRequest is a request for messages.
// https://docs.nats.io/reference/reference-protocols/nats_api_reference
type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// get asks the stream's leader for one message, because other replicas may lag behind.
// It returns [store.ErrNotFound] only if it is certain that there is none.
func (s *Store) get(ctx context.Context, request getRequest) (*entry, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, s, func() (*nats.Msg, error) {
		return s.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+s.config.stream, body)
	})
	if err != nil {
		return nil, fmt.Errorf("reading from stream %s: %w", s.config.stream, s.explain(err))
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &response); err != nil {
		return nil, fmt.Errorf("reading from stream %s: %w", s.config.stream, err)
	}
	switch m := response.Message; {
	case response.Error != nil && response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		if _, err := s.last(ctx); err != nil {
			return nil, err
		}
		return nil, store.ErrNotFound
	case response.Error != nil:
		return nil, fmt.Errorf("reading from stream %s: %w", s.config.stream, response.Error)
	case m == nil:
		return nil, fmt.Errorf("reading from stream %s: an empty answer", s.config.stream)
	default:
		header, err := nats.DecodeHeadersMsg(m.Header)
		if len(m.Header) > 0 && err != nil {
			return nil, fmt.Errorf("reading from stream %s: %w", s.config.stream, err)
		}
		return &entry{m.Subject, m.Seq, header, m.Data, m.Time}, nil
	}
}

// fetch reads messages of one room as they are now, and returns them by their sequences.
// It leaves out those that the stream does not have any more; for one that was deleted
// meanwhile it returns nil.
func (s *Store) fetch(ctx context.Context, room string, ids []store.ID) (map[uint64]*store.Message, error) {
	found := make(map[uint64]*store.Message, len(ids))
	unchanged, changed, err := s.split(ctx, room, ids)
	if err != nil {
		return nil, err
	}
	if err := s.fetchUnchanged(ctx, room, unchanged, found); err != nil {
		return nil, err
	}
	return found, s.fetchChanged(ctx, room, changed, found)
}

// split separates messages of a room that were never changed from those that were, by
// the ids of their revisions.
func (s *Store) split(ctx context.Context, room string, ids []store.ID) (unchanged []store.ID, changed map[store.ID]store.ID, err error) {
	for len(ids) > 0 {
		s.mu.RLock()
		known := s.index.changes.covers(room, ids[0].Prev())
		if known {
			changed = make(map[store.ID]store.ID)
			for _, id := range ids {
				if at := s.index.changes.of(room, id); at.IsZero() {
					unchanged = append(unchanged, id)
				} else {
					changed[at] = id
				}
			}
		}
		s.mu.RUnlock()
		if known {
			break
		}
		if err := s.load(ctx, room); err != nil {
			return nil, nil, err
		}
	}
	return unchanged, changed, nil
}

// fetchUnchanged adds messages that were never changed to found.
func (s *Store) fetchUnchanged(ctx context.Context, room string, ids []store.ID, found map[uint64]*store.Message) error {
	if len(ids) == 0 {
		return nil
	}
	take := func(id store.ID, e *entry) {
		if m := s.decode(room, id, e); m != nil {
			found[id.N] = m
		}
	}
	if err := s.fetchBatches(ctx, s.subjects.room(room), ids, take); err != nil {
		return err
	}
	gone := false
	for _, id := range ids {
		if found[id.N] != nil {
			continue
		}
		// the replica may lag behind, or the server does not support batches
		e, err := s.get(ctx, getRequest{Seq: id.N})
		if errors.Is(err, store.ErrNotFound) {
			gone = true
			continue
		}
		if err != nil {
			return err
		}
		take(id, e)
	}
	if gone {
		// a new leader may still be replaying its log
		last, err := s.last(ctx)
		if err != nil {
			return err
		}
		if last < ids[len(ids)-1].N {
			return errShort
		}
	}
	return nil
}

// decode returns the message with that id, or nil if the entry is another one.
func (s *Store) decode(room string, id store.ID, e *entry) *store.Message {
	if e.seq != id.N || e.subject != s.subjects.room(room) {
		return nil
	}
	// after a rollback, another message may have the sequence
	if at, err := e.id(); err != nil || at.Ms > id.Ms {
		return nil
	}
	draft, err := decodeDraft(e.data)
	if err != nil {
		return nil
	}
	return store.NewMessage(id, room, draft)
}

// fetchChanged adds messages to found, by the ids of their revisions.
func (s *Store) fetchChanged(ctx context.Context, room string, changed map[store.ID]store.ID, found map[uint64]*store.Message) error {
	if len(changed) == 0 {
		return nil
	}
	take := func(at store.ID, e *entry) {
		id := changed[at]
		r, err := decodeRevision(s.subjects, e, at)
		if err != nil || r.room != room || r.id.N != id.N {
			return
		}
		found[id.N] = nil
		if r.kind != store.Delete {
			r.id = id
			found[id.N] = r.message()
		}
	}
	list := slices.SortedFunc(maps.Keys(changed), store.ID.Compare)
	if err := s.fetchBatches(ctx, s.subjects.revisionsOf(room), list, take); err != nil {
		return err
	}
	for _, at := range list {
		if _, got := found[changed[at].N]; got {
			continue
		}
		// the replica may lag behind, or another revision has replaced this one
		e, err := s.get(ctx, getRequest{LastFor: s.subjects.revision(room, changed[at].N)})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		take(at, e)
	}
	return nil
}

// fetchBatches reads as many entries of a subject as possible with few requests, and
// passes those with the given ids to take. Servers before 2.11 do not support that.
func (s *Store) fetchBatches(ctx context.Context, subject string, ids []store.ID, take func(store.ID, *entry)) error {
	if !s.batches.Load() {
		return nil
	}
	want := make(map[uint64]store.ID, len(ids))
	for _, id := range ids {
		want[id.N] = id
	}
	for next, rest := ids[0].N, len(ids); rest > 0; {
		got := 0
		entries, err := s.getBatch(ctx, getRequest{Seq: next, NextFor: subject, Batch: rest, MaxBytes: pageBytes})
		if err != nil {
			return err
		}
		for _, e := range entries {
			got++
			next = e.seq + 1
			if id, ok := want[e.seq]; ok {
				take(id, e)
			}
		}
		rest -= got
		if got == 0 || next > ids[len(ids)-1].N {
			return nil
		}
	}
	return nil
}

// getBatch asks any replica for several messages.
func (s *Store) getBatch(ctx context.Context, request getRequest) ([]*entry, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	return call(ctx, s, func() ([]*entry, error) { return s.receiveBatch(ctx, body) })
}

// receiveBatch is getBatch without its guarantee to return when ctx ends; see call.
func (s *Store) receiveBatch(ctx context.Context, request []byte) (entries []*entry, err error) {
	inbox := s.nc.NewInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.nc.PublishRequest("$JS.API.DIRECT.GET."+s.config.stream, inbox, request); err != nil {
		return nil, err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading from stream %s: %w", s.config.stream, s.explain(err))
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			e, err := directEntry(m)
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
		case "204", "404":
			return entries, nil
		default:
			return nil, fmt.Errorf("reading from stream %s: status %s %s", s.config.stream, status, m.Header.Get("Description"))
		}
	}
}

// directEntry decodes an answer of the direct API.
func directEntry(m *nats.Msg) (*entry, error) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("an answer of NATS has no sequence: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("an answer of NATS has no time: %w", err)
	}
	return &entry{m.Header.Get(jetstream.SubjectHeader), seq, m.Header, m.Data, at}, nil
}
