package push

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// Of many nodes that start at the same time, one makes the key, and all have it.
func TestAllNodesHaveOneKey(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	keys := make([]string, 4)
	for i := range keys {
		group.Go(func() {
			v := newVAPID(&certmagic.FileStorage{Path: dir})
			var err error
			if _, keys[i], err = v.load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, key := range keys {
		if key != keys[0] || len(key) != 87 {
			t.Errorf("the keys are %q", keys)
		}
	}
}

// A damaged key is an error that names it, and is not replaced.
func TestADamagedKey(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	for _, text := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := storage.Store(t.Context(), vapidKey, []byte(text)); err != nil {
			t.Fatal(err)
		}
		_, _, err := newVAPID(storage).load(t.Context())
		if err == nil || !strings.Contains(err.Error(), vapidKey) {
			t.Errorf("%q: %v", text, err)
		}
		if now, err := storage.Load(t.Context(), vapidKey); err != nil || string(now) != text {
			t.Errorf("the key is now %q, %v", now, err)
		}
	}
}

// A token is used again for 11 hours, for its service and contact only.
func TestTokensAreUsedAgain(t *testing.T) {
	v := newVAPID(&certmagic.FileStorage{Path: t.TempDir()})
	get := func(endpoint, contact string, at time.Duration) string {
		u, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		token, err := v.authorization(t.Context(), u, contact, start.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first := get("https://push.example/a", "mailto:a@example.com", 0)
	for _, test := range []struct {
		endpoint, contact string
		at                time.Duration
		same              bool
	}{
		{"https://push.example/b", "mailto:a@example.com", time.Hour, true},
		{"https://PUSH.example:443/b", "mailto:a@example.com", 11 * time.Hour, true},
		{"https://other.example/a", "mailto:a@example.com", 0, false},
		{"https://push.example/a", "mailto:b@example.com", 0, false},
		{"https://push.example/a", "mailto:a@example.com", 11*time.Hour + time.Second, false},
	} {
		if got := get(test.endpoint, test.contact, test.at); (got == first) != test.same {
			t.Errorf("%+v: %s", test, got)
		}
	}
	for i := range 3 * maxTokens {
		get(fmt.Sprintf("https://%d.example/", i), "mailto:a@example.com", 0)
	}
	if len(v.tokens) > maxTokens {
		t.Errorf("%d tokens are kept", len(v.tokens))
	}
}
