package chattest

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// OpenFiles counts the files and connections that this process has open. The test
// is skipped on a system that does not tell.
func OpenFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

// GoroutinesIn counts the goroutines of this process that are in a function, like
// "(*conn).serve".
func GoroutinesIn(function string) (n int) {
	for stack := range stacks() {
		if strings.Contains(stack, function+"(") {
			n++
		}
	}
	return n
}

// WaitingIn counts the goroutines that wait for a channel in a function itself,
// not in one that it calls.
func WaitingIn(function string) (n int) {
	for stack := range stacks() {
		state, frames, _ := strings.Cut(stack, "\n")
		top, _, _ := strings.Cut(frames, "\n")
		if strings.Contains(state, "[chan receive") && strings.Contains(top, function+"(") {
			n++
		}
	}
	return n
}

func stacks() func(yield func(string) bool) {
	all := make([]byte, 4<<20)
	return strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n")
}
