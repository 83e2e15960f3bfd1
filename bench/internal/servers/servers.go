// Package servers has the servers to measure, each of which runs in its own
// process, and the requests for each.
package servers

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	_ "net/http/pprof" // served only if the environment names an address
	"os"
	"strconv"
	"strings"
	"time"
)

// Site is where and how a server serves.
type Site struct {
	Addr string // IP and port
	Dir  string // for its files; empty at first
	// Cert and Key are the files of a TLS certificate, or empty for cleartext.
	Cert, Key string
}

func (s Site) tls() bool { return s.Cert != "" }

// Server is a kind of server and the requests for it.
type Server struct {
	Name string
	// About describes it in one line.
	About string
	// Clear and TLS tell whether it is measured over cleartext and over TLS.
	Clear, TLS bool
	// Rooms is whether it has rooms.
	Rooms bool
	// Delivers is whether it delivers messages to readers.
	Delivers bool
	// Replay is the path, and Header a request header line, to get the last
	// thousand messages first; without a path it has no history.
	Replay, Header string
	// Resumes is whether a client that comes back with Last-Event-ID gets what it
	// has missed.
	Resumes bool
	// Restarts is whether it keeps its messages over a restart.
	Restarts bool

	reload    func(s Site, pid int) error // nil if it cannot
	serve     func(Site)
	subscribe func(rooms []string) string
	publish   func(room string) (path, header string)
	body      func(dst []byte, room, text string) []byte
	batch     func(dst []byte, room, text string) []byte
}

// All lists all servers, in the order of the tables.
var All = []*Server{
	{
		Name: "floor", About: "one `send(2)` for each delivery, one thread a core, no HTTP library",
		Clear: true, TLS: true, Delivers: true,
		serve: func(s Site) { serveFloor(s, false) }, subscribe: oneRoom, publish: update, body: jsonBody,
	},
	{
		Name: "floor-joined", About: "the same; what waits is joined into one `send(2)` for each reader",
		Clear: true, TLS: true, Delivers: true, Replay: "/subscribe?last=1000",
		serve: func(s Site) { serveFloor(s, true) }, subscribe: oneRoom, publish: update, body: jsonBody,
	},
	{
		Name: "ours", About: "`sse_chat` in Caddy",
		Clear: true, TLS: true, Delivers: true, Rooms: true, Replay: "/subscribe?last=1000", Resumes: true,
		serve: func(s Site) { serveCaddy(s, oursBlock("")) }, reload: reloadCaddy, subscribe: oursRooms, publish: oursUpdate, body: jsonBody, batch: jsonLine,
	},
	{
		Name: "ours-unparked", About: "`sse_chat` with `park off`: a goroutine for each reader",
		Clear: true, TLS: true, Delivers: true, Rooms: true, Replay: "/subscribe?last=1000", Resumes: true,
		serve: func(s Site) { serveCaddy(s, oursBlock("park off")) }, reload: reloadCaddy, subscribe: oursRooms, publish: oursUpdate, body: jsonBody, batch: jsonLine,
	},
	{
		Name: "ours-raw", About: "`sse_chat` with `format raw`",
		Clear: true, TLS: true, Delivers: true, Rooms: true, Replay: "/subscribe?last=1000", Resumes: true,
		serve: func(s Site) { serveCaddy(s, oursBlock("format raw")) }, reload: reloadCaddy, subscribe: oursRooms, publish: oursUpdate, body: jsonBody, batch: jsonLine,
	},
	{
		Name: "ours-soon", About: "`sse_chat` with `retry 1s 3s`: clients come back sooner than after the default 10 s",
		Clear: true, TLS: true, Delivers: true, Rooms: true, Resumes: true,
		serve: func(s Site) { serveCaddy(s, oursBlock("retry 1s 3s")) }, reload: reloadCaddy, subscribe: oursRooms, publish: oursUpdate, body: jsonBody,
	},
	{
		Name: "ours-bolt", About: "`sse_chat` with `store bolt`, which keeps its messages over a restart",
		Clear: true, TLS: true, Delivers: true, Rooms: true, Resumes: true, Restarts: true,
		serve: serveOursBolt, subscribe: oursRooms, publish: oursUpdate, body: jsonBody,
	},
	{
		Name: "plain", About: "a hub on Go's `net/http`: a channel for each reader, a write and a flush for each message",
		Clear: true, TLS: true, Delivers: true,
		serve: servePlain, subscribe: oneRoom, publish: update, body: jsonBody,
	},
	{
		Name: "plain-caddy", About: "the same hub as a Caddy module",
		Clear: true, TLS: true, Delivers: true,
		serve: func(s Site) { serveCaddy(s, "route {\n\t\tbench_plain\n\t}") }, subscribe: oneRoom, publish: update, body: jsonBody,
	},
	{
		Name: "node", About: "the first server of this chat: Node.js, an array of clients",
		Clear: true, Delivers: true,
		serve: serveNode, subscribe: oneRoom, publish: update, body: jsonBody,
	},
	{
		Name: "mercure", About: "Mercure 0.20.0 on `net/http`, transport local (no history)",
		Clear: true, TLS: true, Delivers: true, Rooms: true,
		serve: func(s Site) { serveMercure(s, false) }, subscribe: mercureTopics, publish: mercurePublish, body: mercureBody,
	},
	{
		Name: "mercure-bolt", About: "Mercure 0.20.0 on `net/http`, transport bolt",
		Clear: true, TLS: true, Delivers: true, Rooms: true, Replay: mercureTopics(nil), Header: "Last-Event-ID: earliest\r\n", Resumes: true, Restarts: true,
		serve: func(s Site) { serveMercure(s, true) }, subscribe: mercureTopics, publish: mercurePublish, body: mercureBody,
	},
	{
		Name: "nchan", About: "nginx 1.22 with nchan 1.3.6, two workers",
		Clear: true, TLS: true, Delivers: true, Replay: "/replay", Resumes: true,
		serve: serveNchan, reload: reloadNginx, subscribe: nchanRoom, publish: nchanPublish, body: nchanBody,
	},
	{
		Name: "respond", About: "Caddy that answers each POST with `{}`, and delivers nothing",
		Clear: true, TLS: true,
		serve: func(s Site) { serveCaddy(s, respondBlock) }, subscribe: oneRoom, publish: update, body: jsonBody,
	},
}

// Find returns the server of a name, or nil.
func Find(name string) *Server {
	for _, s := range All {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Missing returns what a server needs but this machine lacks, or "".
func (s *Server) Missing() string {
	switch s.Name {
	case "nchan":
		return missingNchan()
	case "node":
		return missingNode()
	default:
		return ""
	}
}

// Batches reports whether it takes many messages in one request.
func (s *Server) Batches() bool { return s.batch != nil }

// Redeploys reports whether a new configuration or version of it can be deployed
// without losing messages by design.
func (s *Server) Redeploys() bool { return s.Restarts || s.reload != nil }

// Reload makes the process of a server load another configuration. It returns
// [errors.ErrUnsupported] if it cannot.
func (s *Server) Reload(site Site, pid int) error {
	if s.reload == nil {
		return errors.ErrUnsupported
	}
	return s.reload(site, pid)
}

// SubscribePath returns the path for a reader of rooms; without rooms it reads a
// shared one.
func (s *Server) SubscribePath(rooms []string) string { return s.subscribe(rooms) }

// AppendPublish appends a request that publishes n messages of the same text
// in a room. The text must need no escaping.
func (s *Server) AppendPublish(dst []byte, host, room, text string, n int) []byte {
	path, header := s.publish(room)
	dst = fmt.Appendf(dst, "POST %s HTTP/1.1\r\nHost: %s\r\n", path, host)
	body := s.body
	if n > 1 {
		body, header = s.batch, "Content-Type: application/x-ndjson\r\n"
	}
	dst = append(dst, header...)
	one := body(nil, room, text)
	dst = fmt.Appendf(dst, "Content-Length: %d\r\n\r\n", n*len(one))
	for range n {
		dst = append(dst, one...)
	}
	return dst
}

// Serve serves until the process is ended.
func Serve(name string, site Site) {
	server := Find(name)
	if server == nil {
		log.Fatalf("no server %q", name)
	}
	if addr := os.Getenv("BENCH_PPROF"); addr != "" {
		go func() { log.Print(http.ListenAndServe(addr, nil)) }()
	}
	server.serve(site)
}

func oneRoom([]string) string { return "/subscribe" }

const jsonType = "Content-Type: application/json\r\n"

func update(string) (path, header string) { return "/update", jsonType }

func jsonBody(dst []byte, _, text string) []byte {
	dst = append(dst, `{"text":"`...)
	dst = append(dst, text...)
	return append(dst, `"}`...)
}

func jsonLine(dst []byte, room, text string) []byte { return append(jsonBody(dst, room, text), '\n') }

func oursRooms(rooms []string) string {
	if len(rooms) == 0 {
		return "/subscribe"
	}
	return "/subscribe?room=" + strings.Join(rooms, "&room=")
}

func oursUpdate(room string) (path, header string) {
	if room == "" {
		return "/update", jsonType
	}
	return "/update?room=" + room, jsonType
}

// frame is the event of a message, as the simple servers send it.
func frame(text json.RawMessage) []byte {
	now := time.Now().UnixMilli()
	id := strconv.FormatInt(now, 10)
	return fmt.Appendf(nil, "id: %s\ndata: {\"text\":%s,\"timestamp\":%d,\"id\":\"%s\"}\n\n", id, text, now, id)
}
