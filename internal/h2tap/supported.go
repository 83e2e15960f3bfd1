//go:build !go1.27 || http2legacy

package h2tap

import "github.com/sse-chat/caddy-sse-chat/internal/socket"

// Supported reports whether connections can be tapped: on Linux, and with a server of
// golang.org/x/net. From Go 1.27 on that hands over to net/http, which takes
// no connection but its own, unless the build tag http2legacy is set.
const Supported = socket.Supported
