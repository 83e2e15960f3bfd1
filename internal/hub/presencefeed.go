package hub

import (
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

const (
	// presenceEvery is the least time between two presence events to a watcher.
	presenceEvery = 10 // ticks
	// namesEvery is the least time between two events with names, in rooms that
	// have more names than fewNames.
	namesEvery = 100 // ticks
	fewNames   = 20
)

// presenceFeed announces a room's presence to its watchers. It combines all
// changes of a second into one announcement, whose event is encoded once for all
// watchers. The room's seatMu guards what is not atomic.
type presenceFeed struct {
	// version is the presence's version at the newest announcement, names at the
	// newest announcement with names.
	version, names atomic.Uint64

	checked                       uint64           // newest presence version that announce has compared
	announcedAt, namesAnnouncedAt int64            // ticks of the newest announcements; 0 if none
	announced                     presence.Summary // of the newest announcement
	// diverged is set if a new watcher may have seen another summary since.
	diverged bool
	// pending is set while some watcher may not have seen the newest announcement.
	pending bool

	whole, brief frame // the encoded event with names and without
}

// frame is an encoded event and the presence version that it shows.
type frame struct {
	bytes   []byte
	version uint64
}

// seenState is what a watcher has seen of a room.
type seenState struct {
	presence, names atomic.Uint64 // newest versions; 0 if none
	presenceAt      atomic.Int64  // tick of the newest presence event
	signals         int64         // how many of the room's signals
}

// needsPresence reports whether the watcher has not seen the newest announcement.
func (s *seenState) needsPresence(feed *presenceFeed) bool {
	seen := s.presence.Load()
	return seen == 0 || seen < feed.version.Load() || s.names.Load() < feed.names.Load()
}

// presenceDue reports whether the watcher may be sent another presence event.
func (s *seenState) presenceDue(now int64) bool {
	return s.presence.Load() == 0 || now-s.presenceAt.Load() >= presenceEvery
}

// announce makes a new announcement if the presence has changed and the last one
// is old enough. It reports whether another one is due later.
func (f *presenceFeed) announce(p *presence.Presence, now int64) (later bool) {
	changed, newNames := p.Version > f.checked, p.NamesVersion > f.names.Load()
	if !changed && !newNames {
		return false
	}
	if !elapsed(f.announcedAt, presenceEvery, now) {
		return true
	}
	f.checked = p.Version
	withNames := newNames && (elapsed(f.namesAnnouncedAt, namesEvery, now) || !p.MoreNamesThan(fewNames))
	sum := p.Total()
	if sum == f.announced && !f.diverged && !withNames {
		return newNames // the changes have cancelled out
	}
	f.announced, f.diverged, f.announcedAt, f.pending = sum, false, now, true
	f.version.Store(p.Version)
	if withNames {
		f.names.Store(p.NamesVersion)
		f.namesAnnouncedAt = now
	}
	return newNames && !withNames
}

// elapsed reports whether an interval has passed since tick at; 0 is never.
func elapsed(at, interval, now int64) bool { return at == 0 || now-at >= interval }

// event returns the event for a watcher, and whether it has names. A new watcher
// gets the presence as it is now, itself included.
func (f *presenceFeed) event(room string, p *presence.Presence, seen *seenState) (event frame, whole bool) {
	need := f.version.Load()
	first := seen.presence.Load() == 0
	if first {
		need = p.Version
	}
	if first || seen.names.Load() < f.names.Load() || !p.MoreNamesThan(fewNames) {
		if f.whole.version < need {
			f.whole = f.encode(room, p, p.AllNames())
		}
		return f.whole, true
	}
	if f.brief.version < need {
		f.brief = f.encode(room, p, nil)
	}
	return f.brief, false
}

func (f *presenceFeed) encode(room string, p *presence.Presence, names []string) frame {
	sum := p.Total()
	f.diverged = f.diverged || sum != f.announced
	return frame{wire.AppendPresence(nil, room, sum.Count, sum.Unnamed, names), p.Version}
}
