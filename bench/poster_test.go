package main

import (
	"testing"
	"time"
)

func TestOutage(t *testing.T) {
	begin := time.Now()
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	var o outage
	o.add(at(0), at(1), true)
	o.add(at(20), at(21), false)
	o.add(at(40), at(45), false)
	o.add(at(60), at(70), true)
	o.add(at(80), at(81), true)
	o.add(at(100), at(130), false)
	o.add(at(150), at(160), true)
	if want := 110 * time.Millisecond; o.total != want {
		t.Errorf("an outage of %s, want %s: from the first failure to the next answer, twice", o.total, want)
	}
}
