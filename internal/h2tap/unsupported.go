//go:build go1.27 && !http2legacy

package h2tap

// Supported reports whether connections can be tapped. With this server they cannot.
const Supported = false
