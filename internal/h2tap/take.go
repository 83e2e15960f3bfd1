package h2tap

import (
	"net/http"
	"reflect"
)

// Take takes the stream of a request out of the server's hands. The caller is its
// handler, which has sent the header and has flushed what it has written. It must call
// [Stream.Own] and return.
//
// It returns nil if the stream cannot be taken: if its connection is not tapped,
// begins to end or has too small a window, or if the request has a body. w must be the
// server's own.
func Take(w http.ResponseWriter, r *http.Request) *Stream {
	c, _ := r.Context().Value(connKey{}).(*Conn)
	if c == nil {
		return nil
	}
	id, ok := streamID(w)
	if !ok || !c.hasOutlet {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	state, ok := c.streams[id]
	if !ok || !state.finished || state.taken != nil || c.leaving || c.dead || !c.account.canShare() {
		return nil
	}
	s := &Stream{conn: c, id: id, window: state.window}
	c.streams[id] = streamState{taken: s}
	c.taken++
	c.watch()
	return s
}

// Taps reports whether [Take] may succeed for a request.
func Taps(r *http.Request) bool { return r.Context().Value(connKey{}) != nil }

// streamID returns the number of the stream of a response of x/net. There is no
// public way to learn it; where the fields have other names, nothing is taken.
func streamID(w http.ResponseWriter) (uint32, bool) {
	v := reflect.ValueOf(w)
	for _, field := range []string{"rws", "stream", "id"} {
		if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return 0, false
		}
		v = v.Elem().FieldByName(field)
	}
	if v.Kind() != reflect.Uint32 {
		return 0, false
	}
	return uint32(v.Uint()), true
}
