package approval

import (
	"fmt"
	"net/url"
	"strings"
)

// CheckURL returns an error if a URL, which may have placeholders, cannot be asked.
func CheckURL(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme != "http" && scheme != "https" || rest == "" {
		return fmt.Errorf("%q must begin with http:// or https:// and a host", s)
	}
	if strings.Contains(s, "{") {
		return nil // it is checked at each question
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
