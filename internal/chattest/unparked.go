package chattest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Unparked asks an admin API how many goroutines serve a stream each. A parked stream
// has none.
func (s *Site) Unparked(t testing.TB) (count int) {
	t.Helper()
	a := s.Do(t, http.MethodGet, "/debug/pprof/goroutine?debug=1", "")
	if a.Status != http.StatusOK {
		t.Fatalf("GET /debug/pprof/goroutine: %d %s", a.Status, a.Body)
	}
	// equal goroutines are a paragraph that begins with their number
	for group := range strings.SplitSeq(a.Body, "\n\n") {
		if !strings.Contains(group, ".(*stream).run") {
			continue
		}
		for line := range strings.Lines(group) {
			if number, _, found := strings.Cut(line, " @ "); found {
				n, err := strconv.Atoi(number)
				if err != nil {
					t.Fatalf("%v in %q", err, line)
				}
				count += n
			}
		}
	}
	return count
}
