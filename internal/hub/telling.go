package hub

import (
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

const (
	// presenceEvery is how long a room's watchers are told nothing more of who
	// is there, once they were.
	presenceEvery = 10 // ticks
	// namesEvery is the same for the names, where there are more than fewNames.
	namesEvery = 100 // ticks
	fewNames   = 20
)

// telling is what the watchers of a room are told of its presence, in rounds:
// all that has changed in a second is one event, which is made once for all.
// The room's seatMu guards what is not atomic.
type telling struct {
	// version is the presence's version as of the newest round, names that of
	// the newest round that told the names.
	version, names atomic.Uint64

	looked      uint64           // the version that the newest round has looked at
	at, namesAt int64            // when the newest rounds were, in ticks
	said        presence.Summary // in the newest round
	// strayed tells that some watcher may have heard of another summary since.
	strayed bool
	// pending tells that some watcher may not have heard the newest round.
	pending bool

	whole, brief frame // with the names and without
}

// frame is an event as it is sent, as of a version.
type frame struct {
	bytes   []byte
	version uint64
}

// told is what a watcher has heard of a room.
type told struct {
	presence, names atomic.Uint64 // the versions of which it has heard
	presenceAt      atomic.Int64  // in ticks
	deletions       int64         // how many
}

// lacks reports whether there is news of presence for the watcher.
func (t *told) lacks(room *telling) bool {
	heard := t.presence.Load()
	return heard == 0 || heard < room.version.Load() || t.names.Load() < room.names.Load()
}

func (t *told) presenceDue(now int64) bool {
	return t.presence.Load() == 0 || now-t.presenceAt.Load() >= presenceEvery
}

// round begins a new round if there is something to tell, and if the last one
// was long enough ago. It reports whether there will be one later.
func (t *telling) round(p *presence.Presence, now int64) (later bool) {
	untold, newNames := p.Version > t.looked, p.NamesVersion > t.names.Load()
	if !untold && !newNames {
		return false
	}
	if !over(t.at, presenceEvery, now) {
		return true
	}
	t.looked = p.Version
	tellNames := newNames && (over(t.namesAt, namesEvery, now) || !p.MoreNamesThan(fewNames))
	sum := p.Total()
	if sum == t.said && !t.strayed && !tellNames {
		return newNames // what has changed was changed back
	}
	t.said, t.strayed, t.at, t.pending = sum, false, now, true
	t.version.Store(p.Version)
	if tellNames {
		t.names.Store(p.NamesVersion)
		t.namesAt = now
	}
	return newNames && !tellNames
}

// over reports whether something was so long ago, or never.
func over(at, every, now int64) bool { return at == 0 || now-at >= every }

// event returns the event for a watcher. One that begins hears of the presence
// as it is now, itself included.
func (t *telling) event(room string, p *presence.Presence, heard *told) (f frame, whole bool) {
	need := t.version.Load()
	begins := heard.presence.Load() == 0
	if begins {
		need = p.Version
	}
	if begins || heard.names.Load() < t.names.Load() || !p.MoreNamesThan(fewNames) {
		if t.whole.version < need {
			t.whole = t.encode(room, p, p.AllNames())
		}
		return t.whole, true
	}
	if t.brief.version < need {
		t.brief = t.encode(room, p, nil)
	}
	return t.brief, false
}

func (t *telling) encode(room string, p *presence.Presence, names []string) frame {
	sum := p.Total()
	t.strayed = t.strayed || sum != t.said
	return frame{wire.AppendPresence(nil, room, sum.Count, sum.Unnamed, names), p.Version}
}

// tellPresence wakes the watchers who have not heard of the presence as it is
// now, as far as it is their time. It reports whether there is more to tell
// later.
func (r *room) tellPresence(now int64) (more bool) {
	r.seatMu.Lock()
	if len(r.watchers) == 0 {
		r.seatMu.Unlock()
		return false // who comes is told all
	}
	more = r.telling.round(&r.presence, now)
	pending := r.telling.pending
	r.telling.pending = false
	r.seatMu.Unlock()
	if pending && r.wakeUntold(now) {
		more = true
		r.seatMu.Lock()
		r.telling.pending = true
		r.seatMu.Unlock()
	}
	return more
}

// wakeUntold wakes watchers to be told of the newest round. It reports whether
// some have not heard of it yet.
func (r *room) wakeUntold(now int64) (left bool) {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	for _, s := range r.watchers {
		if !s.told.lacks(r.telling) {
			continue
		}
		left = true
		if s.told.presenceDue(now) {
			s.sub.signal()
		}
	}
	return left
}

// tellPresence returns the event for a watcher who hears of it now.
func (s *seat) tellPresence(now int64) []byte {
	r := s.room
	r.seatMu.Lock()
	defer r.seatMu.Unlock()
	f, whole := r.telling.event(r.name, &r.presence, &s.told)
	s.told.presence.Store(f.version)
	if whole {
		s.told.names.Store(f.version)
	}
	s.told.presenceAt.Store(now)
	return f.bytes
}
