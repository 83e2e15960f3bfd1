package protocol

import (
	"crypto/tls"
	"testing"
)

func TestOnlyProtocolsAreNamed(t *testing.T) {
	n := HTTP
	if err := n.Set("h2"); err != nil || n != H2 {
		t.Errorf("h2 gave %q and %v", n, err)
	}
	if err := n.Set("http2"); err == nil || n != H2 {
		t.Errorf("http2 gave %q and %v, want an error and no change", n, err)
	}
}

func TestTheCertificateIsOne(t *testing.T) {
	cert, key, err := WriteCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Leaf.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
}
