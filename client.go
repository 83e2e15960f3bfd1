package ssechat

import (
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// clientIP returns the address of a request's client as Caddy has found it:
// behind trusted proxies what these say, and over a Unix socket whose proxy is
// not trusted, or says nothing, "" or "@".
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// limitedClient returns who counts as one client for limits per client, given
// a client's IP. An IPv6 client is its /64, because any host gets one to choose
// its addresses from. It returns "" for what is no address, such as the peer of
// a Unix socket: those are not counted, because nothing tells them apart.
func limitedClient(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(64) // which drops the zone
	return network.String()
}
