package hub

import (
	"math/rand/v2"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// The reasons why a stream ended, as "bye" events, metrics and the access log have
// them.
const (
	EndClient = "client"  // the client closed the connection or has vanished
	EndSlow   = "slow"    // a write stalled for too long
	EndReload = "reload"  // the configuration was replaced, or the admin API asked for it
	EndExit   = "exit"    // Caddy exits
	endMaxAge = "max_age" // the stream reached its maximum age
	EndKicked = "kicked"  // the reader's name was kicked
	EndError  = "error"   // an internal error
)

// EndReasons are all reasons why a stream ends.
var EndReasons = []string{EndClient, EndSlow, EndReload, EndExit, endMaxAge, EndKicked, EndError}

// The reasons why a stream was refused, besides EndReload, EndExit and EndKicked.
const (
	RefuseFull       = "full"        // the hub is at its limit of streams or rooms
	RefuseClientFull = "client_full" // the client is at its limit of streams
)

var refuseReasons = []string{RefuseFull, RefuseClientFull, EndReload, EndExit, EndKicked}

// RetryRange is the range of the delay after which a client reconnects. Each stream
// gets a random delay from it, so that clients that were cut off together do not
// come back together.
type RetryRange struct{ Min, Max time.Duration }

var (
	// retryRefused is for a stream that was refused because the hub is full or
	// Caddy exits: that does not change soon.
	retryRefused = RetryRange{15 * time.Second, 45 * time.Second}
	// retryReload is for a stream that has to reconnect at once, to the
	// configuration in force.
	retryReload = RetryRange{200 * time.Millisecond, 2 * time.Second}
	// retryExit is for a stream that ends because Caddy exits and may be restarted.
	retryExit = RetryRange{time.Second, 10 * time.Second}
)

// Ms returns a random delay from the range in milliseconds.
func (r RetryRange) Ms() int64 {
	return (r.Min + time.Duration(rand.Float64()*float64(r.Max-r.Min))).Milliseconds()
}

// retryAfterEnd returns the range for streams that end for a reason.
func retryAfterEnd(reason string) RetryRange {
	if reason == EndExit {
		return retryExit
	}
	return retryReload
}

// retryAfterRefusal returns the range for streams that are refused for a reason.
func retryAfterRefusal(reason string) RetryRange {
	if reason == EndReload {
		return retryReload
	}
	return retryRefused
}

// Refusal returns the whole body for a stream that is refused for a reason. events
// is whether the client asked for named events.
func Refusal(events bool, reason string) []byte {
	return encodeGoodbye(events, reason, retryAfterRefusal(reason).Ms())
}

// encodeGoodbye encodes the end of a stream. The retry line has no blank line of
// its own after it, because four known clients take that for an empty message. The
// last line is no comment, because one of them would hang.
func encodeGoodbye(events bool, reason string, retryMs int64) []byte {
	end := wire.AppendRetry(nil, retryMs)
	if events {
		end = wire.AppendBye(end, reason, retryMs)
	}
	return end
}
