package descriptors

import (
	"fmt"
	"strings"
	"testing"
)

func TestTooFewDescriptorsAreWarnedOf(t *testing.T) {
	for _, test := range []struct {
		limit          uint64
		maxSubscribers int
		want           string // part of it
	}{
		{0, 1000, ""}, // not known
		{1 << 20, 0, ""},
		{4096, 0, ""},
		{4095, 0, "the number of streams is not limited"},
		{1024, 800, ""},
		{1024, 0, "set max_subscribers to no more than 824"},
		{1024, 1000, "too low for max_subscribers 1000"},
		{20_000, 19_801, "set max_subscribers to no more than 19800"},
		{300, 1000, "set max_subscribers to no more than 150"},
	} {
		got := Warning(test.limit, test.maxSubscribers)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("a limit of %d with max_subscribers %d: %q, want %q", test.limit, test.maxSubscribers, got, test.want)
		}
		// whoever does as the warning says is not warned again
		var most int
		if _, after, ok := strings.Cut(got, "no more than "); ok {
			fmt.Sscan(after, &most)
			if test.limit > 2*spareDescriptors && Warning(test.limit, most) != "" {
				t.Errorf("a limit of %d with max_subscribers %d is still warned of", test.limit, most)
			}
		}
	}
}
