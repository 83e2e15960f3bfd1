package jetstream

import (
	"errors"
	"testing"
)

func TestAStatusFollowsTheOneBefore(t *testing.T) {
	err := errors.New("lost")
	for _, test := range []struct {
		before status
		err    error
		want   status
	}{
		{status{joining, errAway}, err, status{joining, err}},
		{status{joining, errAway}, nil, status{following, nil}},
		{status{following, nil}, nil, status{following, nil}},
		{status{following, nil}, err, status{stalled, err}},
		{status{stalled, errAway}, err, status{stalled, err}},
		{status{stalled, errAway}, nil, status{following, nil}},
		{status{closed, nil}, nil, status{closed, nil}},
		{status{closed, nil}, err, status{closed, nil}},
	} {
		if got := test.before.after(test.err); got != test.want {
			t.Errorf("after %v and %v the status is %v, want %v", test.before, test.err, got, test.want)
		}
	}
}
