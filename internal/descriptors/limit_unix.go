//go:build unix

package descriptors

import "golang.org/x/sys/unix"

// Limit returns how many files and connections this process may have open at a
// time, or 0 if that is unknown.
func Limit() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // signed on some systems
}
