package ssechat

import (
	"errors"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/push"
)

// A hub that is full will not have room in a moment.
func TestAFullHubAsksSubscribersToWaitLong(t *testing.T) {
	err := new(pushEndpoint).storageError(push.ErrFull)
	answer, _ := errors.AsType[caddyhttp.HandlerError](err)
	later, _ := errors.AsType[*laterError](err)
	if answer.StatusCode != 503 || later == nil || later.seconds != "3600" || !errors.Is(err, push.ErrFull) {
		t.Errorf("the answer is %v", err)
	}
}
