package config_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"uvs/config"
)

func loadExtra(text string) (config.Extra, []string) {
	fsys := fstest.MapFS{"extra.conf": {Data: []byte(text)}}
	x, diags := config.LoadExtra(fsys, "extra.conf", config.Options{}, onSite(nil))
	var lines []string
	for i := range diags {
		lines = append(lines, diags[i].Error())
	}
	return x, lines
}

// TestExtra holds what the extra file says, in keepalived.conf's syntax with its comments and definitions.
func TestExtra(t *testing.T) {
	x, lines := loadExtra(`# beyond keepalived.conf
$VIP=192.0.2.10
virtual_server $VIP 443 {
    protocol tcp
    reply_by_uplink
    panic_threshold 75
    removed_servers reset
}
panic_threshold 100
mail_digest 300
removed_servers drain 300
virtual_server 2001:db8::10 { reply_by_uplink yes
 removed_servers drain }
virtual_server fwmark 7 { ip_family inet6
 reply_by_uplink off }
virtual_server 192.0.2.11 80 { fullnat 198.51.100.100-198.51.100.103 198.51.100.110-111 198.51.100.120 ports 10000-10019 dev eth1 }
virtual_server 2001:db8::11 80 { fullnat 2001:db8:5::100-10f }
`)
	if len(lines) > 0 {
		t.Fatalf("findings:\n%s", strings.Join(lines, "\n"))
	}
	want := []config.ExtraService{
		{Addr: netip.MustParseAddrPort("192.0.2.10:443"), Protocol: config.TCP, ReplyByUplink: true, PanicThreshold: 75, Removed: config.Removal{How: "reset"}},
		{Addr: netip.MustParseAddrPort("[2001:db8::10]:0"), ReplyByUplink: true, Removed: config.Removal{How: "drain"}},
		{Fwmark: 7, IPv6: true},
		{Addr: netip.MustParseAddrPort("192.0.2.11:80"), Pool: config.Pool{FirstPort: 10000, LastPort: 10019, Device: "eth1", Ranges: ranges(
			"198.51.100.100", "198.51.100.103", "198.51.100.110", "198.51.100.111", "198.51.100.120", "198.51.100.120")}},
		{Addr: netip.MustParseAddrPort("[2001:db8::11]:80"), Pool: config.Pool{FirstPort: 1024, LastPort: 65535, Ranges: ranges("2001:db8:5::100", "2001:db8:5::10f")}},
	}
	if x.PanicThreshold != 100 || x.MailDigest != 5*time.Minute {
		t.Errorf("panic_threshold %d, mail_digest %v, want 100 and 5m", x.PanicThreshold, x.MailDigest)
	}
	if want := (config.Removal{How: "drain", Time: 5 * time.Minute}); x.Removed != want {
		t.Errorf("removed_servers %+v, want %+v", x.Removed, want)
	}
	if len(x.Services) != len(want) {
		t.Fatalf("%d services, want %d", len(x.Services), len(want))
	}
	for i, s := range x.Services {
		if s.Pos.File != "extra.conf" || s.Pos.Line == 0 {
			t.Errorf("service %d has no place: %v", i, s.Pos)
		}
		if s.Pos, s.Pool.Pos = (config.Pos{}), (config.Pos{}); s != want[i] {
			t.Errorf("service %d: %+v, want %+v", i, s, want[i])
		}
	}
}

func ranges(ends ...string) (list [config.MaxPoolRanges][2]netip.Addr) {
	for i, a := range ends {
		list[i/2][i%2] = netip.MustParseAddr(a)
	}
	return list
}

// TestExtraFindings holds what is said of an extra file that cannot be run as written.
func TestExtraFindings(t *testing.T) {
	for text, want := range map[string]string{
		"virtual_server group web { reply_by_uplink }":                     `extra.conf:1:16: an extra file names services by address or fwmark, not by group; the block is ignored`,
		"virtual_server 192.0.2.300 80 { reply_by_uplink }":                `extra.conf:1:16: virtual_server "192.0.2.300" is not an IPv4 or IPv6 address; the service is ignored`,
		"virtual_server 192.0.2.1 80 { reply_by_uplinks }":                 `extra.conf:1:31: "reply_by_uplinks" is not a keyword in virtual_server; did you mean "reply_by_uplink"?`,
		"virtual_server 192.0.2.1 80 { reply_by_uplink perhaps }":          `extra.conf:1:47: reply_by_uplink "perhaps" is not one of on, off, true, false, yes, no; it is ignored`,
		"virtual_server 192.0.2.1 80 { }\nvirtual_server 192.0.2.1 80 { }": `extra.conf:2:1: virtual_server 192.0.2.1 80 stands here again, after line 1; the block is ignored`,
		"global_defs {\n}":                                                                                                `extra.conf:1:1: "global_defs" is not a keyword at the top level; its block is ignored`,
		"virtual_server 192.0.2.1 80 { fullnat }":                                                                         `extra.conf:1:31: fullnat needs a value after it`,
		"virtual_server 192.0.2.1 80 { fullnat ports 1-2 }":                                                               `extra.conf:1:39: fullnat has no address, or more than 256; the pool is ignored`,
		"virtual_server 192.0.2.1 80 { fullnat 10.0.0.9-10.0.0.1 }":                                                       `extra.conf:1:39: fullnat "10.0.0.9-10.0.0.1" is not an address of this machine's networks, nor a range such as 10.0.0.100-10.0.0.120; the pool is ignored`,
		"virtual_server 192.0.2.1 80 { fullnat 10.0.0.1-10.0.9.1 }":                                                       `extra.conf:1:39: fullnat has no address, or more than 256; the pool is ignored`,
		"virtual_server 192.0.2.1 80 { fullnat 10.0.0.1 2001:db8::1 }":                                                    `extra.conf:1:48: fullnat "2001:db8::1" is of another family than what stands before it; the pool is ignored`,
		"virtual_server 192.0.2.1 80 { fullnat 2001:db8::1 }":                                                             `extra.conf:1:31: the pool of virtual_server 192.0.2.1 80 is of another family than the service; it is ignored`,
		"virtual_server 192.0.2.1 80 { fullnat 10.0.0.1 ports 9-8 }":                                                      `extra.conf:1:54: fullnat ports "9-8" is not a range such as 10000-10999 within 1 to 65535; the pool is ignored`,
		"virtual_server 192.0.2.1 80 { fullnat 10.0.0.1 dev }":                                                            `extra.conf:1:48: fullnat "dev" needs a value after it; the pool is ignored`,
		"virtual_server 192.0.2.1 80 { fullnat 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9 }": `extra.conf:1:103: fullnat has more than 8 ranges; the pool is ignored`,
		"panic_threshold 0":         `extra.conf:1:17: panic_threshold "0" is not a whole number from 1 to 100; it is ignored`,
		"panic_threshold 101":       `extra.conf:1:17: panic_threshold "101" is not a whole number from 1 to 100; it is ignored`,
		"removed_servers":           `extra.conf:1:1: removed_servers needs one of drain, drop, reset after it`,
		"removed_servers keep":      `extra.conf:1:17: removed_servers "keep" is not known (have: drain, drop, reset)`,
		"removed_servers drain 0":   `extra.conf:1:23: removed_servers "0" is not a whole number from 1 to 86400; it is ignored`,
		"removed_servers drain 1 2": `extra.conf:1:25: removed_servers is followed by "2", which is ignored`,
		"virtual_server 192.0.2.1 80 { removed_servers reset 5 }": `extra.conf:1:53: removed_servers reset has no time, as nothing goes on; only drain has one`,
		"mail_digest":     `extra.conf:1:1: mail_digest needs a whole number from 1 to 86400 after it`,
		"reply_by_uplink": `extra.conf:1:1: "reply_by_uplink" is not a keyword at the top level: it belongs in virtual_server`,
		"virtual_server fwmark 7 { check_vip {\n} }":                           `extra.conf:1:27: check_vip is not for virtual_server fwmark 7 and is ignored: its packets may come to any address; write the check for a virtual_server of the address`,
		"virtual_server 192.0.2.1 { check_vip {\n} }":                          `extra.conf:1:28: check_vip is not for virtual_server 192.0.2.1 and is ignored: it has to ask for one port, and the service has all; write it for a service of one port`,
		"virtual_server 192.0.2.1 53 { protocol UDP\n check_vip {\n} }":        `extra.conf:2:2: check_vip is not for virtual_server 192.0.2.1 53 and is ignored: it asks by TCP, and the service is one of UDP; write it for one of TCP with the same servers`,
		"virtual_server 192.0.2.1 80 { check_vip }":                            `extra.conf:1:31: check_vip needs a block in braces after it; it is ignored`,
		"virtual_server 192.0.2.1 80 { check_vip {\n connect_ip 10.0.0.1\n} }": `extra.conf:2:2: "connect_ip" is not a keyword in check_vip`,
		"virtual_server 192.0.2.1 80 { check_vip {\n retry -1\n} }":            `extra.conf:2:8: retry "-1" is not a whole number from 0 to 4294967295; it is ignored`,
	} {
		if _, lines := loadExtra(text); len(lines) != 1 || lines[0] != want {
			t.Errorf("%s\ngives %q\nwant  %q", text, lines, want)
		}
	}
}
