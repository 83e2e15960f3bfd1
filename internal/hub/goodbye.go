package hub

import (
	"math/rand/v2"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// Why a stream ended, as operators and readers are told.
const (
	EndClient = "client"
	EndSlow   = "slow"
	EndReload = "reload"
	EndExit   = "exit"
	endMaxAge = "max_age"
	EndKicked = "kicked"
	EndError  = "error"
)

var EndReasons = []string{EndClient, EndSlow, EndReload, EndExit, endMaxAge, EndKicked, EndError}

// Why a stream was not begun, besides some of why streams end.
const (
	RefuseFull       = "full"
	RefuseClientFull = "client_full"
)

var refuseReasons = []string{RefuseFull, RefuseClientFull, EndReload, EndExit, EndKicked}

// RetryRange is the range of the delay before a client reconnects. Each stream
// gets a random delay of it, so that clients that were cut off together do not
// come back together.
type RetryRange struct{ Min, Max time.Duration }

var (
	// retryRefused is for a stream that was not begun, because the hub is full or
	// Caddy stops: nothing will have changed soon.
	retryRefused = RetryRange{15 * time.Second, 45 * time.Second}
	// retryReload is for a stream that ends so that it comes back at once, to the
	// configuration that is in force.
	retryReload = RetryRange{200 * time.Millisecond, 2 * time.Second}
	// retryExit is for a stream that ends because Caddy stops, perhaps to be
	// started again.
	retryExit = RetryRange{time.Second, 10 * time.Second}
)

// Ms returns a random delay of the range in milliseconds.
func (r RetryRange) Ms() int64 {
	return (r.Min + time.Duration(rand.Float64()*float64(r.Max-r.Min))).Milliseconds()
}

// retryAfterEnd returns when the clients of streams come back that end for a
// reason.
func retryAfterEnd(reason string) RetryRange {
	if reason == EndExit {
		return retryExit
	}
	return retryReload
}

// retryAfterRefusal returns when the clients of streams come back that are not
// begun for a reason.
func retryAfterRefusal(reason string) RetryRange {
	if reason == EndReload {
		return retryReload
	}
	return retryRefused
}

// Refusal is all that a client gets whose stream is not begun.
func Refusal(events bool, reason string) []byte {
	return encodeGoodbye(events, reason, retryAfterRefusal(reason).Ms())
}

// Goodbye is the last that a subscriber gets whose stream ends for a reason.
func (s *Subscriber) Goodbye(reason string) []byte {
	end := encodeGoodbye(s.Events, reason, retryAfterEnd(reason).Ms())
	if s.chunked {
		end = wire.AsChunk(end, 0)
	}
	return end
}

// BodyEnd is what follows the goodbye at the end of the body.
func (s *Subscriber) BodyEnd() []byte {
	if s.chunked {
		return []byte(wire.LastChunk)
	}
	return nil
}

// encodeGoodbye returns the end of a stream. No blank line follows the retry line
// by itself: four known clients would take that for an empty message. Nor may a
// comment be the last line, or one of them would hang.
func encodeGoodbye(events bool, reason string, retryMs int64) []byte {
	end := wire.AppendRetry(nil, retryMs)
	if events {
		end = wire.AppendBye(end, reason, retryMs)
	}
	return end
}
