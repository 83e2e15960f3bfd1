// Package protocol names the protocols over which servers are measured, and makes
// the certificate that they need.
package protocol

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
