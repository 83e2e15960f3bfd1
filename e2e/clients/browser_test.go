package clients

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// chromium runs without a sandbox, which does not work as root; it opens only the
// test's own page.
func chromium(ctx context.Context, url string, deliver func(event, data string)) error {
	return inBrowser(ctx, url, deliver, openChromium)
}

// inChromium opens another page of browser/ in Chromium.
func inChromium(name string) client {
	return func(ctx context.Context, url string, deliver func(event, data string)) error {
		return inBrowser(ctx, url, deliver, func(profile, page string) (*exec.Cmd, error) {
			return openChromium(profile, strings.Replace(page, "/?", "/"+name+"?", 1))
		})
	}
}

func openChromium(profile, page string) (*exec.Cmd, error) {
	//nolint:gosec // the tests' own page
	return exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--ignore-certificate-errors", "--user-data-dir="+profile, page), nil
}

// quietFirefox keeps a new profile from contacting servers on the Internet.
const quietFirefox = `user_pref("app.normandy.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
`

func firefox(ctx context.Context, url string, deliver func(event, data string)) error {
	return inBrowser(ctx, url, deliver, openFirefox)
}

func openFirefox(profile, page string) (*exec.Cmd, error) {
	//nolint:gosec // the tests' own page
	cmd := exec.Command("firefox-esr", "--headless", "--no-remote", "--profile", profile, page)
	return cmd, os.WriteFile(filepath.Join(profile, "user.js"), []byte(quietFirefox), 0o600)
}

// firefoxThatTrusts returns a Firefox that trusts a chat's certificate.
func firefoxThatTrusts(c *chat) client {
	return func(ctx context.Context, source string, deliver func(event, data string)) error {
		return inBrowser(ctx, source, deliver, func(profile, page string) (*exec.Cmd, error) {
			at, err := url.Parse(page)
			if err != nil {
				return nil, err
			}
			pair, err := tls.LoadX509KeyPair(c.certificate, c.certificate)
			if err != nil {
				return nil, err
			}
			// the number of SHA-256
			line := fmt.Sprintf("%s:\tOID.2.16.840.1.101.3.4.2.1\t%s\t\n", at.Host, fingerprint(pair.Certificate[0]))
			if err := os.WriteFile(filepath.Join(profile, "cert_override.txt"), []byte(line), 0o600); err != nil {
				return nil, err
			}
			return openFirefox(profile, page)
		})
	}
}

// fingerprint is that of a certificate, as Firefox writes it.
func fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

// errClosed means that an EventSource will not reconnect.
var errClosed = errors.New("its EventSource is closed")

// inBrowser reads a URL with the page in browser/, which is served at the root of
// the same host and reports what its EventSource dispatches to a separate server.
func inBrowser(ctx context.Context, source string, deliver func(event, data string), open func(profile, page string) (*exec.Cmd, error)) error {
	at, err := url.Parse(source)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default: // after another
		}
	}
	report := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var events []struct{ Event, Data string }
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
			fail(err)
		}
		for _, e := range events {
			if e.Event == "closed" {
				fail(errClosed)
			} else {
				deliver(e.Event, e.Data)
			}
		}
	}))
	defer report.Close()
	profile, err := os.MkdirTemp("", "browser")
	if err != nil {
		return err
	}
	defer os.RemoveAll(profile)
	query := url.Values{"source": {at.RequestURI()}, "report": {report.URL}}
	page := url.URL{Scheme: at.Scheme, Host: at.Host, Path: "/", RawQuery: query.Encode()}
	cmd, err := open(profile, page.String())
	if err != nil {
		return err
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+profile)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to end it with its children
	cmd.WaitDelay = 5 * time.Second                       // for a child that has left the group
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	select {
	case err := <-exited:
		return fmt.Errorf("%s has exited: %v: %s", cmd.Args[0], err, stderr.String())
	case err = <-failed:
	case <-ctx.Done():
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-exited
	return err
}
