package hub

import "testing"

// Readers who leave while a room is being woken hide none of the others.
func TestWakingOverlooksNobody(t *testing.T) {
	const all = 5 * wakeEvery
	for leaving := range all {
		b := newTestHub(t, plenty)
		readers := make([]*Subscriber, all)
		for i := range readers {
			readers[i] = b.mustSubscribe(t, defaults("lobby"))
		}
		r := b.room("lobby")
		next := r.wakeSome(all, false)
		for end := next; end > 0; {
			for range wakeEvery {
				if leaving < len(readers) {
					readers[leaving].Close()
					readers = append(readers[:leaving], readers[leaving+1:]...)
				}
			}
			end = r.wakeSome(end, false)
		}
		for i, s := range readers {
			if len(s.Wake) == 0 {
				t.Errorf("with reader %d leaving, number %d of those who stay is not woken", leaving, i)
			}
			s.Close()
		}
	}
}

func TestWakingIsDoneInSteps(t *testing.T) {
	b := newTestHub(t, plenty)
	for range 2*wakeEvery + 1 {
		defer b.mustSubscribe(t, defaults("lobby")).Close()
	}
	r := b.room("lobby")
	var got []int
	for end := r.wakeSome(1000, false); ; end = r.wakeSome(end, false) {
		if got = append(got, end); end == 0 {
			break
		}
	}
	if len(got) != 3 || got[0] != wakeEvery+1 || got[1] != 1 {
		t.Errorf("waking stopped at %v, want at %d, 1 and 0", got, wakeEvery+1)
	}
}
