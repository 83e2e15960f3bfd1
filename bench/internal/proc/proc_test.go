package proc

import (
	"os"
	"testing"
	"time"
)

func TestWhatThisProcessUses(t *testing.T) {
	g := Family(os.Getpid())
	if len(g) == 0 || g[0] != os.Getpid() {
		t.Fatalf("the family of %d is %v", os.Getpid(), g)
	}
	if pss, rss, peak := g.Memory(), g.Resident(), g.Peak(); pss < 1<<20 || rss < pss || peak < rss {
		t.Errorf("%d bytes proportional, %d resident, %d at the most", pss, rss, peak)
	}
	before := g.Descriptors()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := g.Descriptors(); got != before+1 {
		t.Errorf("%d descriptors after one more than %d", got, before)
	}
	used := g.CPU()
	for begin := time.Now(); g.CPU() < used+10*time.Millisecond; {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("no CPU time is used: %s before, %s now", used, g.CPU())
		}
	}
}
