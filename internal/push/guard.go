package push

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
)

// errNotPublic is the error for a connection to an address that is not public.
var errNotPublic = errors.New("the address is not public")

// guard is called with the address of each connection, after names were looked up and right
// before it is made. So it does not matter what a name leads to, nor whether that changes.
func guard(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q", errNotPublic, address)
	}
	if exempt.Load().allows(to.Addr()) {
		return nil
	}
	if !isPublic(to.Addr()) || fmt.Sprint(to.Port()) != httpsPort {
		return fmt.Errorf("%w: %s", errNotPublic, to)
	}
	return nil
}

// special are the addresses of IANA's registries that lead to no push service.
//
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var special = parsePrefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // shared by customers of a provider
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, and metadata of clouds
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocols
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // relays of 6to4
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast
	"2001::/23",       // protocols: Teredo, benchmarks, ORCHID
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4, which has an IPv4 address in it
	"3fff::/20",       // documentation
)

var (
	// global is all of IPv6 that is routed. What is outside is loopback, unspecified,
	// unique local, link-local, multicast, IPv4-compatible, or not assigned.
	global = netip.MustParsePrefix("2000::/3")
	// nat64 has IPv4 addresses in its last four bytes. Hosts with IPv6 only reach IPv4
	// through it.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func parsePrefixes(all ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(all))
	for i, s := range all {
		prefixes[i] = netip.MustParsePrefix(s)
	}
	return prefixes
}

// isPublic reports whether an address is one of the public internet.
func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		return isPublic(netip.AddrFrom4([4]byte(b[12:])))
	}
	if !addr.IsValid() || addr.Is6() && !global.Contains(addr) {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// exempt holds the exceptions set with [Allow]; nil outside tests.
var exempt atomic.Pointer[allowed]

type allowed struct {
	addrs []netip.Addr
	roots *x509.CertPool
	dial  *net.Resolver
}

// Allow lets pushes go to some addresses, at any port, whose certificates roots have signed,
// until undo is called. It is for tests, which run a push service on this machine. No
// configuration can reach it. A nil resolver is that of the machine.
func Allow(roots *x509.CertPool, resolver *net.Resolver, addrs ...netip.Addr) (undo func()) {
	was := exempt.Swap(&allowed{addrs, roots, resolver})
	return func() { exempt.Store(was) }
}

func (a *allowed) anyPort() bool { return a != nil }

func (a *allowed) allows(addr netip.Addr) bool {
	return a != nil && slices.Contains(a.addrs, addr.Unmap())
}

func (a *allowed) pool() *x509.CertPool {
	if a == nil {
		return nil
	}
	return a.roots
}

func (a *allowed) resolver() *net.Resolver {
	if a == nil {
		return nil
	}
	return a.dial
}
