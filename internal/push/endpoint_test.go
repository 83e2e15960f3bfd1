package push

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestEndpoints(t *testing.T) {
	long := "https://push.example/" + strings.Repeat("a", maxEndpoint)
	for _, s := range []string{
		"https://fcm.googleapis.com/fcm/send/d8Z:APA91b_-x", "https://updates.push.services.mozilla.com/wpush/v2/gAAA",
		"https://web.push.apple.com/QF-x", "https://wns2-par02p.notify.windows.com/w/?token=BQ%3d%3d", "https://push.example:443/a",
		"https://8.8.8.8/", "https://[2606:4700::1111]/", "https://localhost/", long[:maxEndpoint], "https://push.example./",
	} {
		if err := CheckEndpoint(s); err != nil {
			t.Errorf("%.80s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "a", "/a", "//push.example/a", "http://push.example/a", "HTTP://push.example", "ftp://push.example", "https:push.example", "https://", "https:///a",
		"https://:443/", "https://kim@push.example/", "https://kim:x@push.example/", "https://push.example/#a", "https://push.example/#",
		"https://push.example:80/", "https://push.example:8443/", "https://push.example:99999/", "https://push.example/a b", "https://push.example/\n",
		"https://push.example\\@127.0.0.1/", "https://pu\u0000sh.example/", "https://푸시.example/", long[:maxEndpoint+1],
		// loopback and the like, as it may be written
		"https://127.0.0.1/", "https://127.0.0.1:443/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://017700000001/",
		"https://0177.0.0.1/", "https://127.0.0.1./", "https://0/", "https://0.0.0.0/", "https://%31%32%37.0.0.1/", "https://127.0.0.0x1/",
		"https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://[0:0:0:0:0:0:0:1]/",
		"https://[fe80::1%25eth0]/", "https://[fe80::1]/", "https://[fc00::1]/", "https://[64:ff9b::127.0.0.1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b:1::7f00:1]/",
		"https://[2002:7f00:1::]/", "https://[2001::1]/", "https://[2001:db8::1]/", "https://[3fff::1]/", "https://[ff02::1]/", "https://[::ffff:10.0.0.1]/",
		"https://10.0.0.1/", "https://172.31.255.255/", "https://192.168.1.1/", "https://169.254.169.254/", "https://100.64.0.1/", "https://192.0.2.1/",
		"https://198.18.0.1/", "https://203.0.113.7/", "https://224.0.0.1/", "https://255.255.255.255/", "https://[2001:db8::1/", "https://1.2.3.4.5/",
	} {
		if err := CheckEndpoint(s); err == nil {
			t.Errorf("%.80s is taken", s)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for _, s := range []string{
		"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "9.255.255.255", "11.0.0.0",
		"2606:4700::1", "2a00:1450::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2001:4860::8888", "2003::1",
	} {
		if !isPublic(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.1", "172.16.0.0", "172.31.255.255", "192.0.0.8", "192.0.2.255",
		"192.88.99.1", "192.168.0.0", "198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fdff::1", "ff02::1", "100::1", "5f00::1", "4000::1",
		"64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::808:808", "2001::1", "2001:2::1", "2001:1ff::1", "2001:db8::1", "2002:808:808::1", "2002:7f00:1::1", "3fff:fff::1",
	} {
		if isPublic(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
	for address, ok := range map[string]bool{"8.8.8.8:443": true, "8.8.8.8:80": false, "8.8.8.8:22": false, "127.0.0.1:443": false, "[::1]:443": false, "[fe80::1%eth0]:443": false, "/run/x": false} {
		if err := guard(t.Context(), "tcp", address, nil); (err == nil) != ok || err != nil && !errors.Is(err, errNotPublic) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestContacts(t *testing.T) {
	for _, s := range []string{"mailto:admin@example.com", "https://example.com/contact", "mailto:a+b@example.com"} {
		if err := CheckContact(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "admin@example.com", "mailto:", "mailto:admin", "mailto:@", "mailto: a@b.c", "mailto:<a@b.c>", "http://example.com", "https://", "https:example.com", "tel:1", "mailto:a@b.c\n"} {
		if err := CheckContact(s); err == nil || !strings.Contains(err.Error(), "mailto:you@example.com") {
			t.Errorf("%q: %v", s, err)
		}
	}
}
