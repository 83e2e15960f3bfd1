package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Change implements [store.Store]. A node makes a change in the message as it knows it,
// and publishes the result for as long as the stream has no newer revision. If another
// node was faster, it reads that one's revision and makes the change in that.
func (s *Store) Change(ctx context.Context, room string, id store.ID, c store.Change) (store.Receipt, error) {
	done, err := s.begin()
	if err != nil {
		return store.Receipt{}, err
	}
	defer done()
	room = strings.Clone(room)
	if err := s.waitForMessage(ctx, id); err != nil {
		return store.Receipt{}, err
	}
	key := changeKey(room, id, &c)
	// one change of a message at a time, because only the first of several would succeed
	release, err := s.acquire(ctx, s.changing.of(fmt.Sprint(room, " ", id)), exclusive)
	if err != nil {
		return store.Receipt{}, err
	}
	defer release()
	for {
		receipt, err := s.tryChange(ctx, room, id, c, key)
		if !errors.Is(err, errOvertaken) {
			return receipt, err
		}
		if err := s.catchUp(ctx, room, id); err != nil {
			return store.Receipt{}, err
		}
	}
}

// waitForMessage waits until this node has read a message, which another one may have
// published a moment ago. It returns [store.ErrNotFound] if the stream has not assigned
// the id yet.
func (s *Store) waitForMessage(ctx context.Context, id store.ID) error {
	s.mu.RLock()
	position := s.position
	s.mu.RUnlock()
	if id.N == 0 {
		return store.ErrNotFound
	}
	if id.N <= position {
		return nil
	}
	last, err := s.last(ctx)
	if err != nil {
		return err
	}
	if id.N > last {
		return store.ErrNotFound
	}
	return s.waitFor(ctx, id.N)
}

// errOvertaken is returned for a revision if the stream has a newer one than that which
// it would replace.
var errOvertaken = errors.New("another node has changed the message meanwhile")

// tryChange makes a change in the last revision that this node has read. It returns
// errOvertaken if that is not the last one in the stream.
func (s *Store) tryChange(ctx context.Context, room string, id store.ID, c store.Change, key string) (store.Receipt, error) {
	m, err := s.current(ctx, room, id)
	gone := errors.Is(err, store.ErrNotFound)
	if err != nil && !gone {
		return store.Receipt{}, err
	}
	s.mu.RLock()
	made := s.nonces.wasMade(key, time.Now())
	s.mu.RUnlock()
	if made {
		return store.Receipt{ID: id, Message: m.Message, Repeat: true}, nil
	}
	nonce := m.nonceKey()
	if gone && c.Kind == store.Delete { // its nonce may keep it
		s.mu.RLock()
		nonce, m.Message = s.nonces.keyOf(id)
		s.mu.RUnlock()
	}
	if m.Message == nil || m.Room != room {
		return store.Receipt{}, store.ErrNotFound
	}
	if c.Kind == store.Delete {
		if err := c.Check(m.Owner); err != nil || c.DryRun {
			return store.Receipt{ID: id}, err
		}
		return s.remove(ctx, &revision{room: room, id: id, made: m.made, nonce: nonce}, key)
	}
	post := m.Post()
	was := post.Revision.N
	changed, err := c.Apply(&post, store.ID{Ms: time.Now().UnixMilli(), N: 1})
	if err != nil || !changed || c.DryRun {
		return store.Receipt{ID: id, Message: m.Message, Unchanged: !changed}, err
	}
	r := &revision{
		room: room, id: id, kind: c.Kind, was: was, made: m.made, post: post,
		hasText: c.Kind == store.Edit && c.HasText, hasData: c.Kind == store.Edit && c.Data != "",
	}
	if c.Kind == store.Append {
		r.added = len(c.Text)
	}
	receipt, err := s.publishRevision(ctx, r, key)
	if err == nil && !s.rollups.Load() {
		_ = s.erase(ctx, was) // a node that comes across it tries again
	}
	return receipt, err
}

// current returns a message that can be read as it is now, as far as this node has read
// the stream. It returns [store.ErrNotFound] for any other id.
func (s *Store) current(ctx context.Context, room string, id store.ID) (changedMessage, error) {
	views, err := s.views(ctx, store.Span{Rooms: []string{room}, After: id.Prev(), UpTo: id})
	if err != nil {
		return changedMessage{}, err
	}
	if len(views[0].ids) == 0 {
		return changedMessage{}, store.ErrNotFound
	}
	s.mu.RLock()
	at := s.index.changes.of(room, id)
	m, found := s.fresh.at(id, at)
	s.mu.RUnlock()
	switch {
	case found:
		return m, nil
	case !at.IsZero():
		return s.changedAt(ctx, room, id, at)
	}
	read, err := s.fetch(ctx, room, []store.ID{id})
	if err != nil {
		return changedMessage{}, err
	}
	if m := read[id.N]; m != nil {
		return changedMessage{Message: m}, nil
	}
	return changedMessage{}, store.ErrNotFound
}

// changedAt returns a message as its revision at an id has it, or errOvertaken if another
// one has replaced that.
func (s *Store) changedAt(ctx context.Context, room string, id, at store.ID) (changedMessage, error) {
	e, err := s.get(ctx, getRequest{Seq: at.N})
	if errors.Is(err, store.ErrNotFound) {
		return changedMessage{}, errOvertaken
	}
	if err != nil {
		return changedMessage{}, err
	}
	r, err := decodeRevision(s.subjects, e, at)
	if err != nil || r.room != room || r.id.N != id.N || r.kind == store.Delete {
		return changedMessage{}, errOvertaken
	}
	r.id = id
	return changedMessage{r.message(), append(r.made, e.key())}, nil
}

// publishRevision publishes a revision and returns when this node has read it. It returns
// errOvertaken if the stream has a newer one than r.was.
func (s *Store) publishRevision(ctx context.Context, r *revision, key string) (store.Receipt, error) {
	// what a deletion replaces is erased instead, see remove
	rollup := r.kind != store.Delete && s.rollups.Load()
	s.mu.Lock()
	p := s.addPendingMsg(key, r.msg(s.subjects, key, s.latest.Ms, rollup))
	s.mu.Unlock()
	defer s.finish(p, store.Receipt{}, errAbandoned)
	var answer ack
	err := s.retry(ctx, p.done, func() (err error) {
		answer, err = s.publish(ctx, p.msg)
		return err
	})
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return store.Receipt{}, errOvertaken
	}
	if err != nil {
		return store.Receipt{}, err
	}
	if err := s.waitFor(ctx, answer.Sequence); err != nil {
		return store.Receipt{}, err
	}
	if p.finished() {
		return p.receipt, p.err
	}
	// it was made before, or was replaced before this node could read it
	for {
		if err := s.catchUp(ctx, r.room, r.id); err != nil {
			return store.Receipt{}, err
		}
		if p.finished() {
			return p.receipt, p.err
		}
		m, err := s.current(ctx, r.room, r.id)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return store.Receipt{}, err
		}
		return store.Receipt{ID: r.id, Message: m.Message, Repeat: answer.Duplicate && strings.HasPrefix(key, madePrefix)}, nil
	}
}

// catchUp waits until this node has read the last revision of a message.
func (s *Store) catchUp(ctx context.Context, room string, id store.ID) error {
	// others who were overtaken by the same revision should not all come back at once
	select {
	case <-time.After(rand.N(10 * time.Millisecond)):
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return store.ErrClosed
	}
	s.mu.RLock()
	before := s.index.changes.of(room, id)
	s.mu.RUnlock()
	last, err := s.lastRevisionSeq(ctx, room, id.N)
	if err != nil {
		return err
	}
	if err := s.waitFor(ctx, last); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.index.changes.of(room, id)
	if known == before && known.N != last && !s.index.isGone(room, id.N) {
		// somebody has removed revisions by hand
		s.index.changes = newRevised(s.latest)
	}
	return nil
}

// lastRevisionSeq returns the sequence of the last revision of a message, or 0.
func (s *Store) lastRevisionSeq(ctx context.Context, room string, message uint64) (uint64, error) {
	last, err := s.get(ctx, getRequest{LastFor: s.subjects.revision(room, message)})
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return last.seq, nil
}

// lastRevision returns the last revision of a message that the stream has, or nil.
func (s *Store) lastRevision(ctx context.Context, room string, message uint64) (*revision, error) {
	e, err := s.get(ctx, getRequest{LastFor: s.subjects.revision(room, message)})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	at, err := e.id()
	if err != nil {
		return nil, nil //nolint:nilerr // others may publish to these subjects too
	}
	return decodeRevision(s.subjects, e, at)
}

// begin counts a publishing call as in progress until done is called.
func (s *Store) begin() (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(); err != nil {
		return nil, err
	}
	s.appends.Add(1)
	return s.appends.Done, nil
}
