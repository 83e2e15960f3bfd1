// Package h2tap takes streams of an HTTP/2 connection out of the server's hands, so
// that they cost no handler, while the server goes on serving the connection.
//
// # Why
//
// A server keeps a goroutine, buffers and a request for each stream whose handler
// has not returned, and each write by a handler passes through three goroutines.
// That is a lot for a stream that waits for hours and then gets a line. Over HTTP/1.1
// a handler can hijack its connection. Over HTTP/2 it cannot, because the connection
// carries other streams too.
//
// # How
//
// [Install] puts a [Conn], a tap, between TLS and the HTTP/2 server. It reads along
// in both directions, frame by frame. A handler that has sent its header and first
// bytes calls [Take] and returns. The server then ends the stream, but the tap drops
// that frame: the client sees an open stream, the server a finished one. From then on
// [Stream.Write] writes DATA frames of the stream between the server's frames, and the
// tap hides the client's RST_STREAM and WINDOW_UPDATE frames for it from the server.
//
// # Frames
//
// A frame must not be interrupted, and neither must a HEADERS frame and its
// CONTINUATIONs. The server's writes end anywhere, so the tap tracks where frames end.
// Whoever writes holds [Conn].wmu. A stream never waits for it. If the server
// holds it, which may last as long as the client is slow, the stream leaves its frames
// in a queue, which is written after the server's frame; so streams keep up beside
// a download. If another stream holds it, that lasts microseconds, and the stream
// is told afterwards.
//
// # Flow control
//
// Each stream has its own window, which the tap counts from the stream's beginning. The
// window of the connection is shared, but the server assumes that all it was told
// of is its own. So the tap tells it of a part: what the client grants goes to a reserve
// for the streams, and the tap grants the server some of that, with WINDOW_UPDATE
// frames of its own, whenever the server's part runs low. The two parts together are
// what the client has granted, so neither side can overdraw. The streams' part is always
// more than half, because some clients grant more only once half of their window is
// used. If a client's window is too small for that, [Take] takes nothing.
//
// # Ends
//
// A stream ends by [Stream.End], by a reset from the client, or with the connection;
// its [Owner] is told of the latter two. If the server ends its session without an
// error, as after a reload, the connection stays open until its last stream has
// ended. Until then it answers PING and SETTINGS, and nothing else; the client opens
// another connection for its next request. After some minutes the owners are asked to
// end their streams, one after the other, because browsers count such connections
// among the few that they open to a host. If there are several reloads in quick
// succession, the owners on the oldest connections are asked earlier.
//
// The server would consider a connection idle if all its streams were taken. So its
// idle timeout is off, and the tap has one instead.
//
// # Sleep
//
// A session needs more memory than TLS does: two goroutines, buffers and tables. A
// connection with nothing but taken streams does not need one. So the tap ends the
// session after some quiet seconds and answers PING and SETTINGS itself. The client's next
// request begins another session, which reads the client's settings from the tap first.
// Compressed headers refer to earlier ones, which only an earlier session has seen,
// so the tap decodes all headers and encodes them anew for later sessions. The other
// direction needs nothing: a new encoder never refers to what an old one has left in
// the client's table.
//
// # Limits
//
// Only TLS directly over TCP qualifies. Streams that cannot be taken are served by
// their handlers.
package h2tap
