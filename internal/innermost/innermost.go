// Package innermost finds the server's own ResponseWriter below those that handlers
// have put around it.
package innermost

import "net/http"

// Writer returns the server's own ResponseWriter, and whether a writer around it
// buffers what is written.
func Writer(w http.ResponseWriter) (inner http.ResponseWriter, buffered bool) {
	for {
		if recorder, ok := w.(interface{ Buffered() bool }); ok && recorder.Buffered() {
			buffered = true
		}
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w, buffered
		}
		w = outer.Unwrap()
	}
}
