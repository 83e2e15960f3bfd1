package clustertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// certificate writes a certificate that is its own authority, and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestServersThatAskForCertificates(t *testing.T) {
	serverCert, serverKey := certificate(t)
	clientCert, clientKey := certificate(t)
	otherCert, _ := certificate(t)
	config, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: serverCert, KeyFile: serverKey, CaFile: clientCert, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	config.MinVersion = tls.VersionTLS12
	nats := single(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSConfig, o.TLSTimeout = true, true, config, 5
	})
	address := []string{"tls://" + nats.Addr().String()}
	s := open(t, &jetstream.Module{URLs: address, TLSCA: serverCert, TLSCert: clientCert, TLSKey: clientKey}, new(storetest.Hub), few)
	storetest.MustAppend(t, s, "r", storetest.Text("x"))

	for name, module := range map[string]*jetstream.Module{
		"a server that is not trusted": {URLs: address, TLSCA: otherCert, TLSCert: clientCert, TLSKey: clientKey},
		"no client certificate":        {URLs: address, TLSCA: serverCert},
	} {
		if s, err := module.Open("test", new(storetest.Hub), few); err == nil {
			_ = s.Close()
			t.Errorf("%s: the store opened", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
