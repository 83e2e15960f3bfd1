package servers

import (
	"encoding/json"
	"log"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// plainHub is a typical chat in Go: a channel and a goroutine per reader, a write
// and a flush per message. A reader whose channel is full is closed.
type plainHub struct {
	mu      sync.Mutex // guards readers and the order of messages
	readers map[chan []byte]struct{}
}

// plainQueue is how many messages may wait for a reader.
const plainQueue = 256

func newPlainHub() *plainHub { return &plainHub{readers: make(map[chan []byte]struct{})} }

func (h *plainHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		h.publish(w, r)
	} else {
		h.subscribe(w, r)
	}
}

func (h *plainHub) publish(w http.ResponseWriter, r *http.Request) {
	var message struct{ Text json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	event := frame(message.Text)
	h.mu.Lock()
	for c := range h.readers {
		select {
		case c <- event:
		default:
			delete(h.readers, c)
			close(c)
		}
	}
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}"))
}

func (h *plainHub) subscribe(w http.ResponseWriter, r *http.Request) {
	c := make(chan []byte, plainQueue)
	h.mu.Lock()
	h.readers[c] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.readers, c)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	controller := http.NewResponseController(w)
	if _, err := w.Write([]byte(":ok\nretry: 10000\n")); err != nil {
		return
	}
	if err := controller.Flush(); err != nil {
		return
	}
	for {
		select {
		case event, ok := <-c:
			if !ok {
				return
			}
			if _, err := w.Write(event); err != nil {
				return
			}
			if err := controller.Flush(); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

func servePlain(s Site) { serveHTTP(s, newPlainHub()) }

// serveHTTP serves with Go's own server.
func serveHTTP(s Site, handler http.Handler) {
	server := &http.Server{Addr: s.Addr, Handler: handler}
	if s.tls() {
		log.Fatal(server.ListenAndServeTLS(s.Cert, s.Key))
	}
	log.Fatal(server.ListenAndServe())
}

func init() {
	caddy.RegisterModule(plainModule{})
	httpcaddyfile.RegisterHandlerDirective("bench_plain", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return new(plainModule), nil
	})
}

// plainModule is a plainHub in Caddy.
type plainModule struct{ hub *plainHub }

// CaddyModule implements [caddy.Module].
func (plainModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_plain", New: func() caddy.Module { return new(plainModule) }}
}

// Provision implements [caddy.Provisioner].
func (m *plainModule) Provision(caddy.Context) error {
	m.hub = newPlainHub()
	return nil
}

func (m *plainModule) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	m.hub.ServeHTTP(w, r)
	return nil
}
