package chattest

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen.
const Patience = 30 * time.Second

// Eventually waits until a condition holds, for as long as [Patience].
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Within(t, Patience, what, ok)
}

// Within waits until a condition holds, for as long as it may take. It asks every
// 5 ms.
func Within(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
}
