package hub

import "testing"

// Heartbeats come up to a tenth early or late, also where that is less than a
// tick of the clock.
func TestHeartbeatsHaveJitter(t *testing.T) {
	for _, interval := range []int64{3, 10, 25, 150} {
		most := (interval + 9) / 10
		seen, sum := make(map[int64]int), int64(0)
		const n = 20_000
		for range n {
			j := jitter(interval)
			if j < -most || j > most {
				t.Fatalf("a heartbeat of %d ticks is %d late", interval, j)
			}
			seen[j]++
			sum += j
		}
		for j := -most; j <= most; j++ {
			if seen[j] == 0 {
				t.Errorf("of %d heartbeats of %d ticks none is %d late: %v", n, interval, j, seen)
			}
		}
		if mean := float64(sum) / n; mean < -0.05*float64(most) || mean > 0.05*float64(most) {
			t.Errorf("heartbeats of %d ticks are late by %.2f on average", interval, mean)
		}
	}
}
