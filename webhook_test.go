package ssechat

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func init() { caddy.RegisterModule(new(webhookListener)) }

// webhookListener is a handler of the events app that passes on what it hears.
type webhookListener struct{}

var webhookEvents = make(chan string, 10)

func (*webhookListener) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.webhook_listener", New: func() caddy.Module { return new(webhookListener) }}
}

func (*webhookListener) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (*webhookListener) Handle(_ context.Context, e caddy.Event) error {
	webhookEvents <- fmt.Sprint(e.Name(), " ", e.Data)
	return nil
}

// When a sender reports that its site fails, and that it is back, events say so.
func TestEventsOfAWebhook(t *testing.T) {
	b := chattest.NewBackend(t, "")
	caddytest.ServeSites(t, "events {\non webhook_down webhook_listener\non webhook_up webhook_listener\n}\n", "sse_chat {\nwebhook "+b.URL+"\n}")
	reports := webhookReports(findHub("default").key)
	reports.Down(errors.New("no answer"))
	if got, want := <-webhookEvents, "webhook_down map[error:no answer hub:default]"; got != want {
		t.Errorf("the event is %s, want %s", got, want)
	}
	reports.Up()
	if got, want := <-webhookEvents, "webhook_up map[hub:default]"; got != want {
		t.Errorf("the event is %s, want %s", got, want)
	}
	reports.Stuck(errors.New("closed"))
	webhookReports(hubKey{"gone", "memory"}).Down(errors.New("there is no such hub any more"))
	select {
	case e := <-webhookEvents:
		t.Errorf("there is the event %s", e)
	default:
	}
}
