package load

import (
	"bytes"
	"slices"
	"strconv"
	"time"
)

// stamp marks the send time in a message: 19 digits of nanoseconds follow.
const (
	stamp      = "sent@"
	stampWidth = len(stamp) + 19
)

func appendStamp(dst []byte, now time.Time) []byte {
	return strconv.AppendInt(append(dst, stamp...), now.UnixNano(), 10)
}

// sample parses the messages of one stream.
type sample struct {
	readers *Readers
	rest    []byte // an incomplete stamp
	count   int
	order   uint64 // a hash of all stamps in the order of arrival
}

func (s *sample) feed(p []byte, now int64, phase int) {
	if len(s.rest) > 0 {
		p = append(s.rest, p...)
		s.rest = nil
	}
	for {
		i := bytes.Index(p, []byte(stamp))
		if i < 0 {
			i = max(0, len(p)-len(stamp)+1) // the stamp may have started
		} else if len(p) >= i+stampWidth {
			if sent, err := strconv.ParseInt(string(p[i+len(stamp):i+stampWidth]), 10, 64); err == nil {
				s.took(sent, now, phase)
			}
			p = p[i+stampWidth:]
			continue
		}
		s.rest = bytes.Clone(p[i:])
		return
	}
}

// keep is the number of latencies kept per phase.
const keep = 1 << 20

func (s *sample) took(sent, now int64, phase int) {
	s.count++
	s.order = (s.order ^ uint64(sent)) * 1099511628211 // FNV-1a
	if kept := &s.readers.latencies[phase]; phase > 0 && len(*kept) < keep {
		*kept = append(*kept, time.Duration(now-sent))
	}
}

// Percentile returns a percentile of durations in milliseconds, 0 if there are
// none.
func Percentile(of []time.Duration, p float64) float64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	i := min(int(p*float64(len(of))), len(of)-1)
	return float64(of[i]) / float64(time.Millisecond)
}
