package main

import "testing"

const (
	isTaken = "taken"
	isFault = "a fault"
)

func TestPlaces(t *testing.T) {
	seen := func(last uint64) place { return place{last: last} }
	told := func(p place) place {
		p.cut = true
		return p
	}
	for name, c := range map[string]struct {
		at     place
		number uint64
		sent   uint64
		want   string
	}{
		"the next one":                              {seen(7), 8, 8, isTaken},
		"the last one again":                        {seen(7), 7, 8, isFault},
		"an older one":                              {seen(7), 3, 8, isFault},
		"one is left out":                           {seen(7), 9, 9, isFault},
		"the first after all that was answered":     {begin(5, 5), 6, 6, isTaken},
		"one that was under way":                    {begin(5, 6), 6, 6, isTaken},
		"none that was under way":                   {begin(5, 6), 7, 7, isTaken},
		"one that was answered before":              {begin(5, 6), 5, 7, isFault},
		"one is left out at the beginning":          {begin(5, 6), 8, 8, isFault},
		"after a gap, the oldest that is kept":      {told(seen(7)), 91, 100, isTaken},
		"after a gap, an older one is still fine":   {told(seen(7)), 90, 100, isTaken},
		"after a gap, one that is kept is left out": {told(seen(7)), 92, 100, isFault},
		"after a gap, the last one again":           {told(seen(7)), 7, 100, isFault},
		"after a gap, at the beginning":             {told(begin(5, 6)), 91, 100, isTaken},
	} {
		t.Run(name, func(t *testing.T) {
			got, p := isTaken, c.at
			err := p.take(c.number, c.sent, 10)
			if err != nil {
				got = isFault
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
			if next, _ := p.next(); err == nil && (p.begins || p.cut || next != c.number+1) {
				t.Errorf("the reader is at %+v after %d", p, c.number)
			}
		})
	}
}

func TestGapsAreExplainedByRetention(t *testing.T) {
	for name, c := range map[string]struct {
		at        place
		last      uint64 // that was published
		may, must bool
	}{
		"all is kept":                       {place{last: 90}, 100, false, false},
		"one is not kept":                   {place{last: 89}, 100, true, true},
		"told already":                      {place{last: 89, cut: true}, 100, true, false},
		"nothing was published":             {place{}, 0, false, false},
		"at the beginning, all is kept":     {begin(90, 91), 100, false, false},
		"at the beginning, it depends":      {begin(89, 90), 100, true, false},
		"at the beginning, one is not kept": {begin(88, 89), 100, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			if may, must := c.at.mayMiss(c.last, 10), c.at.mustMiss(c.last, 10); may != c.may || must != c.must {
				t.Errorf("a gap may be told: %t, must be: %t; want %t, %t", may, must, c.may, c.must)
			}
		})
	}
}

func TestWhatIsOwed(t *testing.T) {
	for name, c := range map[string]struct {
		at   place
		last uint64
		want uint64
	}{
		"nothing":               {place{last: 5}, 5, 0},
		"two":                   {place{last: 5}, 7, 2},
		"nothing since it came": {begin(5, 5), 5, 0},
		"what was under way may have come before": {begin(5, 6), 6, 0},
		"what was sent later":                     {begin(5, 6), 7, 1},
		"after a gap, what is kept":               {place{last: 5, cut: true}, 100, 10},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.at.owed(c.last, 10); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

func TestIDsGrow(t *testing.T) {
	for _, c := range []struct {
		id, than string
		want     bool
	}{
		{"5", "", true}, {"5", "4", true}, {"4", "5", false}, {"5", "5", false}, {"5-1", "5", true}, {"5-2", "5-10", false}, {"10", "9-3", true},
	} {
		if got := after(c.id, c.than); got != c.want {
			t.Errorf("%s after %q: %t, want %t", c.id, c.than, got, c.want)
		}
	}
}
