package push

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// maxEndpoint is how long an endpoint may be, in bytes.
const maxEndpoint = 2048

// httpsPort is the only port that is connected to. The push services of all browsers have it,
// and so nobody can make this server talk to anything else that a host runs.
const httpsPort = "443"

// CheckEndpoint returns an error if s cannot be the endpoint of a push service. It looks
// nothing up: what a name leads to is checked at each connection, see [guard].
func CheckEndpoint(s string) error {
	if s == "" {
		return errors.New("empty")
	}
	if len(s) > maxEndpoint {
		return fmt.Errorf("has %d bytes, more than %d", len(s), maxEndpoint)
	}
	u, err := url.Parse(s)
	if err != nil || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return fmt.Errorf("%.80q is not a URL", s)
	}
	switch {
	case u.Scheme != "https":
		return fmt.Errorf("%.80q does not begin with https://", s)
	case u.User != nil:
		return errors.New("must not have a user")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return errors.New("must not have a fragment")
	}
	return checkHost(u)
}

// numberForm is the last label of what browsers and resolvers may take for an IPv4 address:
// 127.1, 2130706433, 0x7f000001.
var numberForm = regexp.MustCompile(`^([0-9]+|0[xX][0-9a-fA-F]*)$`)

func checkHost(u *url.URL) error {
	host := u.Hostname()
	if host == "" {
		return errors.New("has no host")
	}
	if u.Port() != "" && u.Port() != httpsPort && !exempt.Load().anyPort() {
		return fmt.Errorf("has the port %.10q: push services have %s", u.Port(), httpsPort)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		labels := strings.Split(strings.TrimSuffix(host, "."), ".")
		if strings.ContainsAny(host, ":[]%") || numberForm.MatchString(labels[len(labels)-1]) {
			return fmt.Errorf("the host %.80q is neither a name nor an address like 192.0.2.1", host)
		}
		return nil
	}
	if addr.Zone() != "" || !isPublic(addr) && !exempt.Load().allows(addr) {
		return fmt.Errorf("the address %s is not public", addr)
	}
	return nil
}
