// Package posting has what is common to all who post JSON to a site of the configuration.
package posting

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// CheckURL returns an error if nothing can be posted to a URL, which may have placeholders.
// The error has no password, path or query, which may be secret.
func CheckURL(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme != "http" && scheme != "https" || rest == "" {
		return fmt.Errorf("%q must begin with http:// or https:// and a host", public(s))
	}
	if strings.Contains(s, "{") {
		return nil // it is checked once the values are known
	}
	u, err := url.Parse(s)
	switch {
	case err != nil && strings.Contains(s, "@"): // the error may have a part of a password
		return errors.New("the URL cannot be parsed: characters like / : % in a user or password must be written as %2F %3A %25")
	case err != nil:
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return fmt.Errorf("%q cannot be parsed: %w", public(s), err)
	case u.Hostname() == "":
		return fmt.Errorf("%q has no host", public(s))
	case u.Fragment != "":
		return fmt.Errorf("%q has a fragment (#), which is never sent", public(s))
	}
	return nil
}

// public returns what nobody keeps secret of a URL: scheme and host, without user and
// password. An ellipsis stands for the rest.
func public(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	} else {
		scheme += "://"
	}
	if strings.Contains(rest, "@") {
		return scheme + "…"
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && len(rest) > end+1 {
		rest = rest[:end+1] + "…"
	}
	return scheme + rest
}
