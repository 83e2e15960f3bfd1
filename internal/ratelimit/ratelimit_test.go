package ratelimit

import (
	"fmt"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

func TestWhoIsOneClient(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1":                  "192.0.2.1",
		"::ffff:192.0.2.1":           "192.0.2.1",
		"2001:db8:1:2::1":            "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff:ff:1:2":   "2001:db8:1:2::/64",
		"2001:0DB8:0001:0002::1":     "2001:db8:1:2::/64",
		"2001:db8:1:3::1":            "2001:db8:1:3::/64",
		"fe80::1%eth0":               "fe80::/64",
		"::1":                        "::/64",
		"":                           "",
		"@":                          "",
		"@abstract":                  "",
		"/run/client.sock":           "",
		"192.0.2.1:80":               "",
		"example.com":                "",
		"192.0.2.1, 192.0.2.2":       "",
		"192.0.2.256":                "",
		"2001:db8:1:2::1/64":         "",
		"[2001:db8:1:2::1]":          "",
		"2001:db8:1:2::192.0.2.1":    "2001:db8:1:2::/64",
		"::ffff:192.0.2.1%something": "192.0.2.1",
	} {
		if got := Client(ip); got != want {
			t.Errorf("%q counts as %q, want %q", ip, got, want)
		}
	}
}

// A machine's clock that is set by an hour changes nothing of who may publish.
func TestTheClockIsSet(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			in := func(d time.Duration) time.Time { return storetest.Reset(now.Add(d), by) }
			l := New(3, time.Minute)
			if wait := l.Take("client", 3, now); wait != 0 {
				t.Fatalf("the first three wait for %s", wait)
			}
			if wait := l.Take("client", 1, in(time.Second)); wait < 10*time.Second || wait > 20*time.Second {
				t.Errorf("the fourth message waits for %s, want 19 s", wait)
			}
			if wait := l.Take("client", 3, in(time.Minute)); wait != 0 {
				t.Errorf("after a minute three wait for %s", wait)
			}
		})
	}
}

func TestWhatIsGivenBackCanBeTakenAgain(t *testing.T) {
	l := New(2, 10*time.Second)
	now := time.Now()
	l.Take("a", 2, now)
	l.GiveBack("a", 1, now.Add(time.Second))
	l.GiveBack("nobody", 1, now)
	if wait := l.Take("a", 1, now.Add(time.Second)); wait != 0 {
		t.Errorf("wait %s for what was given back", wait)
	}
	if wait := l.Take("a", 1, now.Add(time.Second)).Round(time.Millisecond); wait != 4*time.Second {
		t.Errorf("wait %s for what was not, want 4s", wait)
	}
	l.GiveBack("a", 2, now.Add(time.Minute))
	l.Take("a", 2, now.Add(time.Minute))
	if wait := l.Take("a", 1, now.Add(time.Minute)); wait == 0 {
		t.Error("more than the burst was given back")
	}
}

func TestRateIsPerClientIP(t *testing.T) {
	l := New(2, 10*time.Second)
	now := time.Now()
	for i, test := range []struct {
		client string
		n      int
		after  time.Duration
		wait   time.Duration
	}{
		{"a", 1, 0, 0},
		{"a", 1, 0, 0},
		{"a", 1, 0, 5 * time.Second},
		{"b", 2, 0, 0},
		{"b", 3, 0, 10 * time.Second},
		{"a", 1, 4 * time.Second, time.Second},
		{"a", 1, time.Second, 0},
		{"a", 2, 10 * time.Second, 0},
	} {
		now = now.Add(test.after)
		if wait := l.Take(test.client, test.n, now).Round(time.Millisecond); wait != test.wait {
			t.Errorf("step %d: wait %s, want %s", i, wait, test.wait)
		}
	}
	for i := range 2 * maxClients {
		l.Take(fmt.Sprint(i), 1, now)
	}
	if n := len(l.clients); n > maxClients {
		t.Errorf("%d clients are known", n)
	}
	l.Take("a", 1, now.Add(time.Minute))
	if n := len(l.clients); n != 1 {
		t.Errorf("%d clients are known a minute later", n)
	}
}
