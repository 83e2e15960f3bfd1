// Package protocol names the protocols over which servers are measured, and makes
// the certificate that they need.
package protocol

import "fmt"

// Name is a protocol that a client speaks.
type Name string

// The protocols.
const (
	HTTP  Name = "http"  // HTTP/1.1 in cleartext
	HTTPS Name = "https" // HTTP/1.1 over TLS
	H2    Name = "h2"    // HTTP/2 over TLS
)

// IsSecure reports whether it runs over TLS.
func (n Name) IsSecure() bool { return n != HTTP }

// Scheme returns the scheme of its URLs.
func (n Name) Scheme() string {
	if n.IsSecure() {
		return "https"
	}
	return "http"
}

// String implements flag.Value.
func (n *Name) String() string { return string(*n) }

// Set implements flag.Value.
func (n *Name) Set(s string) error {
	switch Name(s) {
	case HTTP, HTTPS, H2:
		*n = Name(s)
		return nil
	}
	return fmt.Errorf("want %s, %s or %s", HTTP, HTTPS, H2)
}
