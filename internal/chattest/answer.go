package chattest

import (
	"encoding/json"
	"net/http"
	"testing"
)

// Answer is what a request got.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// ErrorText returns the error in the body of a refusal.
func (a Answer) ErrorText(t testing.TB) string {
	t.Helper()
	var e struct{ Error string }
	if err := json.Unmarshal([]byte(a.Body), &e); err != nil {
		t.Errorf("%v in %d %s", err, a.Status, a.Body)
	}
	return e.Error
}

// Decode reads the JSON of an answer, which must be 200.
func (a Answer) Decode(t testing.TB, to any) {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if err := json.Unmarshal([]byte(a.Body), to); err != nil {
		t.Fatalf("%v in %s", err, a.Body)
	}
}

// Stored returns the message in the answer to POST /update.
func (a Answer) Stored(t testing.TB) (m Message) {
	t.Helper()
	a.Decode(t, &m)
	return m
}
