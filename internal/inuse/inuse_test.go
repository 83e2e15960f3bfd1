package inuse

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestAddressesInUse(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "chat.sock")
	for _, test := range []struct{ listen, network, address string }{
		{"127.0.0.1:0", "tcp", "127.0.0.1:0"},
		{"unix/" + socket + "|0600", "unix", socket},
	} {
		listener, err := net.Listen(test.network, test.address)
		if err != nil {
			t.Fatal(err)
		}
		listen := test.listen
		if test.network == "tcp" {
			listen = listener.Addr().String()
		}
		addr, err := caddy.ParseNetworkAddress(listen)
		if err != nil {
			t.Fatal(err)
		}
		if !Addr(addr) {
			t.Errorf("%s is not seen to be in use", listen)
		}
		listener.Close()
		if Addr(addr) {
			t.Errorf("%s is said to be in use", listen)
		}
	}
	for _, listen := range []string{"fd/3", ":0"} {
		addr, err := caddy.ParseNetworkAddress(listen)
		if err != nil {
			t.Fatal(err)
		}
		if Addr(addr) {
			t.Errorf("%s is said to be in use", listen)
		}
	}
}
