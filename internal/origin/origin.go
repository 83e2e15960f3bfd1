// Package origin checks origins in the form in which browsers send them, and what pages of
// other origins may do.
package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Check returns nil if s is an origin exactly as a browser or app sends it.
// Otherwise the error says why it is not, and what to write instead if that is
// known. Origins are compared byte by byte, so one in another form would never
// match. See
// https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
func Check(s string) error {
	switch {
	case s == "null":
		return errors.New("browsers send this for all sandboxed pages and local files: serve the page from its own origin")
	case strings.Contains(s, "*"):
		return errors.New("wildcards are not supported: list each origin")
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		return errors.New("an origin begins with a scheme, like https://chat.example.com")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	o := origin{scheme: strings.ToLower(scheme)}
	switch {
	case !schemeForm.MatchString(o.scheme):
		return fmt.Errorf("%q is not a scheme", scheme)
	case slices.Contains(opaqueSchemes, o.scheme):
		return fmt.Errorf("browsers send null for pages of %s: serve the page from its own origin", o.scheme)
	case o.scheme == "ws" || o.scheme == "wss":
		return errors.New("this is the address of a socket: write the origin of the page that opens it, like https://chat.example.com")
	case strings.Contains(authority, "@"):
		return errors.New("an origin names no user")
	}
	if err := o.parse(authority); err != nil {
		return err
	}
	sent := o.String()
	switch {
	case s == sent:
		return nil
	case path != "":
		return fmt.Errorf("an origin has no path, not even a slash at the end: write %s", sent)
	case strings.ToLower(s) == sent:
		return fmt.Errorf("browsers send origins in lower case: write %s", sent)
	case o.port == "" && strings.HasSuffix(authority, ":"+o.given[1]):
		return fmt.Errorf("browsers leave the default port out: write %s", sent)
	case o.given[0] != o.host:
		return fmt.Errorf("browsers send the host as %s: write %s", o.host, sent)
	default:
		return fmt.Errorf("browsers send the port as %s: write %s", o.port, sent)
	}
}

var (
	schemeForm    = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
	opaqueSchemes = []string{"file", "data", "blob", "about", "javascript", "filesystem", "ftp"}
	defaultPorts  = map[string]string{"http": "80", "https": "443"}
)

// origin is a parsed origin in the form in which browsers send it.
type origin struct {
	scheme, host string
	port         string    // "" for the scheme's default port
	given        [2]string // host and port as written
}

// String returns the origin as browsers send it.
func (o *origin) String() string {
	if o.port == "" {
		return o.scheme + "://" + o.host
	}
	return o.scheme + "://" + o.host + ":" + o.port
}

// parse parses the host and the port.
func (o *origin) parse(authority string) error {
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
	}
	o.given = [2]string{host, port}
	if host == "" {
		return errors.New("an origin has a host, like https://chat.example.com")
	}
	if port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a port", port)
		}
		if o.port = strconv.FormatUint(number, 10); o.port == defaultPorts[o.scheme] {
			o.port = ""
		}
	}
	var err error
	if _, web := defaultPorts[o.scheme]; web {
		o.host, err = webHost(host)
	} else {
		o.host, err = appHost(host)
	}
	return err
}

// webHost returns a host as browsers send it for http and https. See
// https://url.spec.whatwg.org/#host-parsing
func webHost(host string) (string, error) {
	if strings.HasPrefix(host, "[") {
		return bracketed(host)
	}
	ascii, err := browserIDNA.ToASCII(host)
	if err != nil || strings.ContainsAny(ascii, forbidden) {
		return "", fmt.Errorf("%q is not a host's name", host)
	}
	labels := strings.Split(strings.TrimSuffix(ascii, "."), ".")
	if !numberForm.MatchString(labels[len(labels)-1]) {
		return ascii, nil
	}
	addr, err := netip.ParseAddr(ascii)
	if err != nil {
		return "", fmt.Errorf("%q is not an address as browsers send it, like 192.0.2.1", host)
	}
	return addr.String(), nil
}

// bracketed returns an IPv6 address in brackets as browsers send it.
func bracketed(host string) (string, error) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(host, "]") {
		return "", fmt.Errorf("%q is not an address as browsers send it, like [2001:db8::1]", host)
	}
	if addr.Is4In6() { // browsers do not write its last four bytes as an IPv4 address
		b := addr.As16()
		return fmt.Sprintf("[::ffff:%x:%x]", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15])), nil
	}
	return "[" + addr.String() + "]", nil
}

// appHost returns the host of an app's own scheme, which apps send unchanged:
// capacitor://localhost, chrome-extension://<id>, app://. and so on.
func appHost(host string) (string, error) {
	u, err := url.Parse("app://" + host)
	if err != nil || u.Host != host || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%q is not a host as apps send it, like capacitor://localhost", host)
	}
	return host, nil
}

// forbidden is the characters that no host name may have. See
// https://url.spec.whatwg.org/#forbidden-domain-code-point
const forbidden = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f #/:<>?@[\\]^|%\x7f"

var (
	// browserIDNA follows https://url.spec.whatwg.org/#idna.
	browserIDNA = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.StrictDomainName(false), idna.CheckHyphens(false))
	numberForm  = regexp.MustCompile(`^([0-9]+|0[xX][0-9a-fA-F]*)$`)
)
