package pages

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A read that has timed out fails for all who wait for a turn, for a moment.
func TestAReadThatTimesOutFailsTheNextOnes(t *testing.T) {
	p := NewReader(time.Second, nil)
	key := pageKey{rooms: "a"}
	shared, first, err := p.join(key)
	if !first || err != nil {
		t.Fatal(first, err)
	}
	if again, second, _ := p.join(key); second || again != shared {
		t.Error("the same page is read twice")
	}
	shared.err = context.DeadlineExceeded
	p.keep(key, shared)
	if _, _, err := p.join(pageKey{rooms: "b"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another read ends with %v", err)
	}
	p.until = time.Now()
	if _, first, err := p.join(pageKey{rooms: "b"}); !first || err != nil {
		t.Errorf("later it is %v, %v", first, err)
	}
}
