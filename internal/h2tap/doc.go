// Package h2tap takes streams of an HTTP/2 connection out of the server's hands, so
// that they cost no handler, while the server goes on serving the connection.
//
// # Why
//
// A server keeps a goroutine, buffers and a request for each stream whose handler
// has not returned, and a write by a handler hops through three goroutines. That is
// much for a stream that waits for hours and then gets a line. Over HTTP/1.1 a
// handler can hijack its connection; over HTTP/2 it cannot, because a connection
// carries other streams too.
//
// # How
//
// [Install] puts a [Conn], a tap, between TLS and the HTTP/2 server. It reads along
// in both directions, frame by frame. A handler that has sent its header and first
// bytes calls [Take] and returns. The server then ends the stream, but the tap drops
// that frame: the client sees an open stream, the server a finished one. From then on
// [Stream.Write] writes DATA frames of it beside the server's frames, and the tap
// keeps to itself what the client says of it, RST_STREAM and WINDOW_UPDATE.
//
// # Frames
//
// A frame must not be interrupted, nor must a HEADERS frame and its CONTINUATIONs.
// The server's writes end anywhere, so the tap knows after each whether the next
// frame may be another's. Who writes holds [Conn].wmu. A stream never waits for
// it: if the server has it, which may last as long as the peer is slow, the
// stream leaves its frames in a queue, and the server's write ends with them; so a
// download does not starve the streams beside it, which have their turn after each of
// its frames. If another stream has it, that takes microseconds, and the stream is
// told afterwards.
//
// # Flow control
//
// Each stream has a window of its own, which the tap counts from the stream's
// beginning. The window of the connection is shared, and the server believes that it
// has all that it was told of. So the tap tells it of a part only: what a client
// grants is the streams' reserve, and the server's share is filled up from it, by
// WINDOW_UPDATE frames of the tap's own, whenever it runs low. The server's part and
// the reserve together are what the client has granted, so neither can overdraw.
// Streams never have all of it, and never less than what makes a client grant more: clients
// answer late, some when half of their window is used. If a client's window is
// too small for that, [Take] takes nothing.
//
// # Ends
//
// A stream ends by [Stream.End], by a reset from the client, or with the connection;
// its [Owner] is told of the latter two. If the server ends the session and says
// that this is no error, as when its configuration is replaced, the connection stays open
// until the last of its streams has ended. It answers pings then, and nothing else;
// clients open another connection for what comes next. After some minutes the owners are told to
// come to an end, one after the other, because browsers count such connections among
// the few that they open to a host. If servers are replaced in quick succession, those
// of the older ones are told sooner.
//
// The server believes that a connection is idle if all its streams were taken, so its
// idle timeout is off, and the tap has one instead.
//
// # Sleep
//
// A session costs more memory than TLS does: two goroutines, buffers and tables. On a
// connection with nothing but streams that were taken it is not needed. So the tap ends it
// after some quiet seconds and answers pings itself. The client's next request begins
// another session, to which the tap introduces the client with its settings. What
// the client compresses refers to headers that only the first session has seen, so the tap
// decodes all headers, and encodes them anew for later sessions. The other
// direction needs nothing: a new encoder never refers to what an old one has left in the
// client's table.
//
// What the tap cannot do is left as it is: connections that are not TLS over
// TCP are not tapped, and streams that cannot be taken are served by their handlers.
package h2tap
