package ssechat

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/events"
	"github.com/sse-chat/caddy-sse-chat/internal/posting"
	"github.com/sse-chat/caddy-sse-chat/internal/webhook"
)

// Webhook is a site that is told of each message and change of a hub.
type Webhook struct {
	// Where batches are posted. Placeholders like `{env.URL}` are replaced when the
	// configuration is loaded.
	URL string `json:"url"`
	// What signs them, with placeholders like `{env.SECRET}`, which must not be empty.
	// Default: no signature.
	Secret string `json:"secret,omitempty"`
}

// check returns what is wrong, as far as that is known before placeholders are replaced.
func (w *Webhook) check() error {
	if w == nil || strings.HasPrefix(w.URL, "{") {
		return nil
	}
	if err := posting.CheckURL(w.URL); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

// target returns where the site is, with placeholders replaced. Its error has no value of
// them, which may be secret.
func (w *Webhook) target() (*webhook.Target, error) {
	if w == nil {
		return nil, nil //nolint:nilnil // nobody is told
	}
	replacer := caddy.NewReplacer()
	url, err := replacer.ReplaceOrErr(w.URL, true, true)
	if err != nil {
		return nil, fmt.Errorf("webhook: the URL: %w", err)
	}
	if strings.Contains(url, "{") || posting.CheckURL(url) != nil {
		return nil, errors.New("webhook: the values of the placeholders make no URL that begins with http:// or https://")
	}
	secret, err := replacer.ReplaceOrErr(w.Secret, true, true)
	if err != nil {
		return nil, fmt.Errorf("webhook: the secret: %w", err)
	}
	return &webhook.Target{URL: url, Secret: secret}, nil
}

// directWebhook sets the target of a hub's webhook from the configuration in force. While two
// configurations use the hub it changes nothing, because the newer may still be rejected.
func directWebhook(key hubKey) {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	claims := claimsOfOneConfig(key)
	if len(claims) == 0 {
		return
	}
	var target *webhook.Target
	for _, c := range claims {
		if c.webhook != nil {
			target = c.webhook
		}
	}
	claims[0].hub.webhook.Direct(target)
}

// webhookReports returns what a hub's sender reports to.
func webhookReports(key hubKey) webhook.Reports {
	name := zap.String("hub", key.name)
	return webhook.Reports{
		Down: func(err error) {
			if c := claimOn(key); c != nil {
				c.logger.Error("the webhook cannot be delivered; it is retried until it succeeds", name, zap.Error(err))
				// not here, because a subscriber may take its time
				go c.events.Emit(events.WebhookDown, map[string]any{"hub": key.name, "error": err.Error()})
			}
		},
		Up: func() {
			if c := claimOn(key); c != nil {
				c.logger.Info("the webhook is accepted again", name)
				go c.events.Emit(events.WebhookUp, map[string]any{"hub": key.name})
			}
		},
		Stuck: func(err error) {
			if c := claimOn(key); c != nil {
				c.logger.Error("the webhook waits for the store", name, zap.Error(err))
			}
		},
	}
}
