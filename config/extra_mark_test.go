package config_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"uvs/config"
)

func TestMarkRules(t *testing.T) {
	x, lines := loadExtra(`
mark 7 {
    protocol tcp
    source 10.0.0.0/8 203.0.113.77/24
    destination 192.0.2.10 192.0.2.16/28
    ports 443 80 8000-8100 81 8090-8200
    interface eth0
}
mark 4294967295 { destination 2001:db8::10
 destination 2001:db8:1::/48 }
mark 0 { ports 22 }
mark 9 { }
`)
	if len(lines) > 0 {
		t.Fatalf("findings:\n%s", strings.Join(lines, "\n"))
	}
	p := netip.MustParsePrefix
	want := []config.MarkRule{
		{
			Mark: 7, Protocol: config.TCP, Sources: []netip.Prefix{p("10.0.0.0/8"), p("203.0.113.0/24")},
			Destinations: []netip.Prefix{p("192.0.2.10/32"), p("192.0.2.16/28")},
			Ports:        []config.PortRange{{80, 81}, {443, 443}, {8000, 8200}}, Interface: "eth0",
		},
		{Mark: 1<<32 - 1, Destinations: []netip.Prefix{p("2001:db8::10/128"), p("2001:db8:1::/48")}},
		{Ports: []config.PortRange{{22, 22}}},
		{Mark: 9},
	}
	if len(x.Marks) != len(want) {
		t.Fatalf("%d rules, want %d", len(x.Marks), len(want))
	}
	for i, r := range x.Marks {
		if r.Pos.Line == 0 {
			t.Errorf("rule %d has no place", i)
		}
		if r.Pos = (config.Pos{}); !reflect.DeepEqual(r, want[i]) {
			t.Errorf("rule %d: %+v, want %+v", i, r, want[i])
		}
	}
}

// TestMarkRuleFindings: a rule with a fault would fit too much, and is left out.
func TestMarkRuleFindings(t *testing.T) {
	const ignored = "extra.conf:1:1: mark 7 would fit other packets than it says, and is ignored"
	for text, want := range map[string]string{
		"mark 7 { ports 0 }":                              `extra.conf:1:16: ports "0" is not a port from 1 to 65535, or a range such as 8000-8100`,
		"mark 7 { ports 80 90-80 }":                       `extra.conf:1:19: ports "90-80" is not a port from 1 to 65535, or a range such as 8000-8100`,
		"mark 7 { ports http }":                           `extra.conf:1:16: ports "http" is not a port from 1 to 65535, or a range such as 8000-8100`,
		"mark 7 { destination 192.0.2.300 }":              `extra.conf:1:22: destination "192.0.2.300" is not an address or a prefix`,
		"mark 7 { source fe80::1%eth0 }":                  `extra.conf:1:17: source "fe80::1%eth0" is not an address or a prefix`,
		"mark 7 { source }":                               `extra.conf:1:10: source needs a value after it`,
		"mark 7 { protocol icmp }":                        `extra.conf:1:19: protocol "icmp" is not a protocol (have: SCTP, TCP, UDP)`,
		"mark 7 { dport 80 }":                             `extra.conf:1:10: "dport" is not a keyword in mark`,
		"mark 7 { destination 192.0.2.1 2001:db8::/32 }":  `extra.conf:1:1: mark 7 has IPv4 and IPv6 prefixes (192.0.2.1/32, 2001:db8::/32), which no packet fits; write a block for each family`,
		"mark 7 { source 10.0.0.0/8\n destination ::/0 }": `extra.conf:1:1: mark 7 has IPv4 and IPv6 prefixes (10.0.0.0/8, ::/0), which no packet fits; write a block for each family`,
	} {
		x, lines := loadExtra(text)
		if len(lines) != 2 || !strings.HasPrefix(strings.Join(lines, "\n")+"\n", want) && !strings.Contains(strings.Join(lines, "\n"), want) || !strings.Contains(strings.Join(lines, "\n"), ignored) {
			t.Errorf("%s\ngives %q\nwant  %q and %q", text, lines, want, ignored)
		}
		if len(x.Marks) != 0 {
			t.Errorf("%s\nis a rule all the same: %+v", text, x.Marks)
		}
	}
	for text, want := range map[string]string{
		"mark 4294967296 { }": `extra.conf:1:6: mark "4294967296" is not a whole number from 0 to 4294967295`,
		"mark 7":              `extra.conf:1:1: mark 7 needs a block in braces after it`,
	} {
		if x, lines := loadExtra(text); len(lines) != 1 || !strings.HasPrefix(lines[0], want) || len(x.Marks) != 0 {
			t.Errorf("%s\ngives %q and %d rules, want %q", text, lines, len(x.Marks), want)
		}
	}
}
