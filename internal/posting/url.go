// Package posting has what is common to all who post JSON to a site of the configuration.
package posting

import (
	"fmt"
	"net/url"
	"strings"
)

// CheckURL returns an error if nothing can be posted to a URL, which may have placeholders.
func CheckURL(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme != "http" && scheme != "https" || rest == "" {
		return fmt.Errorf("%q must begin with http:// or https:// and a host", s)
	}
	if strings.Contains(s, "{") {
		return nil // it is checked once the values are known
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return err
	case u.Hostname() == "":
		return fmt.Errorf("%q has no host", s)
	case u.Fragment != "":
		return fmt.Errorf("%q has a fragment, which is never sent", s)
	}
	return nil
}
