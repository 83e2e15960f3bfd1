package ssechat

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// What holds where nothing is said, in JSON too.
func TestDefaults(t *testing.T) {
	var h Handler
	h.setDefaults()
	got, err := json.Marshal(&h)
	want := `{"hub":"default","subscribe":"/subscribe","update":"/update","history":"/history",` +
		`"retry":{"min":10000000000,"max":10000000000},"heartbeat":15000000000,"retain":{"count":1000},` +
		`"max_text":8192,"max_rooms":100000,"write_timeout":10000000000,"format":"json"}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v, want\n%s", got, err, want)
	}
	if err := h.check(); err != nil {
		t.Error(err)
	}
}

// An age alone keeps what the default count does.
func TestRetainByAgeAlone(t *testing.T) {
	for config, want := range map[string]int{`{"age": "1h"}`: 1000, `{}`: 1000, `{"count": 0, "age": "1h"}`: 0, `{"count": 7}`: 7} {
		var h Handler
		if err := json.Unmarshal([]byte(`{"retain": `+config+`}`), &h); err != nil {
			t.Fatal(err)
		}
		h.setDefaults()
		if got := *h.Retain.Count; got != want {
			t.Errorf("%s keeps %d messages, want %d", config, got, want)
		}
	}
	s := caddytest.Serve(t, "")
	if err := caddytest.LoadJSON(strings.ReplaceAll(`{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC","writer":{"output":"discard"}}}},"apps":{"http":{"servers":{"s":{"listen":["ADDR"],"automatic_https":{"disable":true},"routes":[{"handle":[{"handler":"sse_chat","retain":{"age":"1h"}}]}]}}}}}`, "ADDR", s.Addr)); err != nil {
		t.Fatal(err)
	}
	m := s.Post(t, "/update", "x")
	if got := s.History(t, "lobby"); len(got) != 1 || got[0] != m {
		t.Errorf("the history is %v, want %v", got, m)
	}
}

// JSON that no Caddyfile makes is checked too, before anything is opened.
func TestJSONErrors(t *testing.T) {
	for fields, want := range map[string]string{
		`"heartbeat": 1`:                          "heartbeat: 1ns is less than 100ms",
		`"max_text": -1`:                          "max_text: -1 is less than 1",
		`"retain": {"count": -1}`:                 "retain: -1 is less than 0",
		`"rate": {"messages": 0, "window": "1s"}`: "rate: 0 is less than 1",
		`"retry": {"min": -5}`:                    "retry: -5ns is less than 1ms",
		`"max_rooms": -1`:                         "max_rooms: -1 is less than 1",
		`"max_size": -1`:                          "max_size: -1 is less than 1048576",
		`"max_size": 9000000, "store": {"store": "jetstream", "urls": ["nats://127.0.0.1:1"]}`: "max_size: only the store memory has it, not jetstream",
		`"origins": ["null"]`:                   `origins: "null": browsers send this`,
		`"rooms": ["a", ""]`:                    `rooms: "": a pattern must not be empty`,
		`"subscribe": "/a", "update": "/a"`:     "the path /a is already in use",
		`"store": {"store": "bolt"}`:            "the store bolt needs a file",
		`"store": {"store": "bolt", "size": 1}`: `unknown field "size"`,
		`"store": {"store": "none"}`:            "unknown module: http.sse_chat.stores.none",
		`"typo": 1`:                             `unknown field "typo"`,
	} {
		config := `{"admin":{"disabled":true},"logging":{"logs":{"default":{"level":"PANIC","writer":{"output":"discard"}}}},"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[{"handler":"sse_chat",` +
			fields + `}]}]}}}}}`
		if err := caddytest.LoadJSON(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", fields, err, want)
		}
		if len(hubs.claims) != 0 {
			t.Fatalf("%s: a refused handler holds on to its hub", fields)
		}
	}
}
