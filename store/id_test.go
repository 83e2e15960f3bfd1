package store

import (
	"math"
	"regexp"
	"testing"
)

func TestParseID(t *testing.T) {
	for _, test := range []struct {
		in   string
		want ID
		ok   bool
	}{
		{"1763769600000", ID{Ms: 1763769600000}, true},
		{"1763769600000-1", ID{Ms: 1763769600000, N: 1}, true},
		{"0", ID{}, true},
		{"007-000", ID{Ms: 7}, true},
		{"9223372036854775807-18446744073709551615", ID{math.MaxInt64, math.MaxUint64}, true},
		{"9223372036854775808", ID{}, false},
		{"1-18446744073709551616", ID{}, false},
		{"", ID{}, false},
		{"-1", ID{}, false},
		{"1-", ID{}, false},
		{"1--1", ID{}, false},
		{"+1", ID{}, false},
		{"1-2-3", ID{}, false},
		{" 1", ID{}, false},
		{"1\n", ID{}, false},
		{"١", ID{}, false},
		{"1_000", ID{}, false},
		{"0x10", ID{}, false},
		{"00000000000000000000000000000000000000000001", ID{}, false},
	} {
		got, err := ParseID(test.in)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("ParseID(%q) = %v, %v; want %v, ok %v", test.in, got, err, test.want, test.ok)
		}
	}
}

func TestIDOrder(t *testing.T) {
	ascending := []ID{{}, {0, 1}, {1, 0}, {1, 1}, {1, math.MaxUint64}, {2, 0}, {math.MaxInt64, math.MaxUint64}}
	for i, a := range ascending {
		for j, b := range ascending {
			if got, want := a.After(b), i > j; got != want {
				t.Errorf("%v.After(%v) = %v, want %v", a, b, got, want)
			}
		}
	}
	for _, id := range ascending[1:] {
		if prev := id.Prev(); !id.After(prev) || prev.Next() != id {
			t.Errorf("%v.Prev() = %v, whose next is %v", id, prev, prev.Next())
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"1", "1-2", "", "-", "1763769600000-3", "\x00", "1\r\nid: 2"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^[0-9]+(-[0-9]+)?$`)
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if !form.MatchString(s) {
			t.Fatalf("ParseID(%q) took what is no id", s)
		}
		if id.IsZero() {
			return
		}
		if !form.MatchString(id.String()) {
			t.Fatalf("ParseID(%q) is written %q", s, id)
		}
		if again, err := ParseID(id.String()); err != nil || again != id {
			t.Fatalf("ParseID(%q) is written %q and read back as %v, %v", s, id, again, err)
		}
	})
}

func TestClockNeverGoesBack(t *testing.T) {
	var clock Clock
	var last ID
	for _, ms := range []int64{10, 10, 10, 11, 5, 0, 11, 12, 12} {
		id := clock.Next(ms)
		if !id.After(last) {
			t.Fatalf("at %d ms the id is %v, after %v", ms, id, last)
		}
		last = id
	}
	if want := (ID{12, 1}); last != want {
		t.Fatalf("the last id is %v, want %v", last, want)
	}
	clock.Restore(ID{20, 7})
	clock.Restore(ID{3, 0})
	if got, want := clock.Next(15), (ID{20, 8}); got != want {
		t.Fatalf("after a restart the id is %v, want %v", got, want)
	}
}
