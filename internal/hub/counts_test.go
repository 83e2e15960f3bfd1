package hub

import (
	"maps"
	"testing"
)

func TestEachReasonIsCounted(t *testing.T) {
	c := newCounts()
	for _, reason := range EndReasons {
		c.Closed.Add(reason)
	}
	c.Closed.Add("of no kind")
	want := map[string]uint64{"client": 1, "slow": 1, "reload": 1, "exit": 1, "max_age": 1, "kicked": 1, "error": 1}
	if got := c.Closed.ByReason(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
