package jetstream

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestCaddyfile(t *testing.T) {
	var m Module
	d := caddyfile.NewTestDispenser(`jetstream nats://kim:tea@a:4222 tls://b {
		stream chat
		replicas 3
		credentials /creds
		tls_ca /ca
		tls_cert /cert
		tls_key /key
	}`)
	if err := m.UnmarshalCaddyfile(d); err != nil {
		t.Fatal(err)
	}
	want := Module{URLs: []string{"nats://kim:tea@a:4222", "tls://b"}, Stream: "chat", Replicas: 3, Credentials: "/creds", TLSCA: "/ca", TLSCert: "/cert", TLSKey: "/key"}
	if len(m.URLs) != 2 || m.URLs[0] != want.URLs[0] || m.URLs[1] != want.URLs[1] || m.Stream != want.Stream || m.Replicas != want.Replicas ||
		m.Credentials != want.Credentials || m.TLSCA != want.TLSCA || m.TLSCert != want.TLSCert || m.TLSKey != want.TLSKey {
		t.Errorf("got %+v, want %+v", m, want)
	}
	if place := m.Place(); strings.Contains(place, "tea") || !strings.Contains(place, "a:4222 tls://b chat") {
		t.Errorf("the place is %q", place)
	}
}

func TestWrongOptions(t *testing.T) {
	for _, test := range []struct{ file, want string }{
		{"jetstream", "wrong argument count"},
		{"jetstream localhost:4222", "not the address of a NATS server"},
		{"jetstream http://localhost", "not the address of a NATS server"},
		{"jetstream nats://a,nats://b", "not the address of a NATS server"},
		{"jetstream nats://a {\n replicas 0\n}", "replicas is 1 to 5"},
		{"jetstream nats://a {\n replicas many\n}", "replicas is 1 to 5"},
		{"jetstream nats://a {\n stream a.b\n}", `"a.b" is not 1 to 64`},
		{"jetstream nats://a {\n stream\n}", "wrong argument count"},
		{"jetstream nats://a {\n stream a\n stream b\n}", "already specified"},
		{"jetstream nats://a {\n strem a\n}", "unrecognized subdirective 'strem'"},
	} {
		err := new(Module).UnmarshalCaddyfile(caddyfile.NewTestDispenser(test.file))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: the error is %v, want %q in it", test.file, err, test.want)
		}
	}
	for _, test := range []struct {
		module Module
		want   string
	}{
		{Module{}, "missing"},
		{Module{URLs: []string{"nats://a"}, TLSCert: "/etc/passwd"}, "go together"},
		{Module{URLs: []string{"nats://a"}, TLSCA: "/nowhere"}, "tls_ca: stat /nowhere"},
		{Module{URLs: []string{"nats://a"}, Replicas: 6}, "6 is not 1 to 5"},
	} {
		if err := test.module.check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: the error is %v, want %q in it", test.module, err, test.want)
		}
	}
}
