package storehealth

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Not every error of a write means that the store is down.
func TestWhatAStoreFaultIs(t *testing.T) {
	for _, test := range []struct {
		err error
		up  bool
	}{
		{nil, true},
		{errors.New("the disk is full"), false},
		{context.DeadlineExceeded, false},
		{context.Canceled, true},
		{fmt.Errorf("room: %w", store.ErrTooManyRooms), true},
		{store.ErrNotFound, true},
		{store.ErrClosed, true},
	} {
		h := New()
		if h.Record(test.err); h.Up() != test.up {
			t.Errorf("after %v the store is up: %t", test.err, h.Up())
		}
	}
}
