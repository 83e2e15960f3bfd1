package bolt

import "time"

// steady tells how long ago an id was made, also after the machine's clock was
// set. The zero steady is ready to use.
type steady struct {
	began time.Time     // when it was first asked
	set   time.Duration // by how much the clock was set since, as far as that counts
	next  time.Duration // as far as it will count next
	since time.Time     // since when that is known
}

// ago returns what the time was some while ago, in Unix milliseconds as they
// are in ids. A clock that is set forward does not make older what was there
// before: it counts only after that while, when what was there is over anyway.
// The while must be the same each time.
func (s *steady) ago(while time.Duration, now time.Time) int64 {
	if s.began.IsZero() {
		s.began = now
	}
	// Round takes the reading of the steady clock away
	set := now.Round(0).Sub(s.began.Round(0)) - now.Sub(s.began)
	s.next = min(s.next, set)
	if s.set >= s.next || now.Sub(s.since) >= while {
		s.set = s.next
		s.next, s.since = set, now
	}
	return now.Add(s.set - set - while).UnixMilli()
}
