package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"uvs/config"
	"uvs/internal/steer"
	"uvs/internal/table"
)

func markRule(mark uint32, protocol config.Protocol, to string, ports ...uint16) config.MarkRule {
	r := config.MarkRule{Mark: mark, Protocol: protocol}
	for d := range strings.FieldsSeq(to) {
		r.Destinations = append(r.Destinations, netip.MustParsePrefix(d))
	}
	for _, p := range ports {
		r.Ports = append(r.Ports, config.PortRange{First: p, Last: p})
	}
	return r
}

// TestTakeMarks: what rules become for steering. Marks 7 and 9 have services of both families.
func TestTakeMarks(t *testing.T) {
	from := func(r config.MarkRule, source, device string) config.MarkRule {
		if r.Interface = device; source != "" {
			r.Sources = []netip.Prefix{netip.MustParsePrefix(source)}
		}
		return r
	}
	many := markRule(7, config.TCP, "192.0.2.1/32")
	many.Ports = []config.PortRange{{First: 1, Last: 257}}
	for _, tt := range []struct {
		name     string
		rules    []config.MarkRule
		services string
		patterns string
	}{
		{"single addresses and ports", []config.MarkRule{markRule(7, config.TCP, "192.0.2.1/32 192.0.2.2/32", 80, 443)},
			"[192.0.2.1:80/tcp 192.0.2.1:443/tcp 192.0.2.2:80/tcp 192.0.2.2:443/tcp]", ""},
		{"all ports, all protocols", []config.MarkRule{markRule(7, 0, "2001:db8::1/128")}, "[[2001:db8::1]:*/tcp [2001:db8::1]:*/udp [2001:db8::1]:*/sctp]", ""},
		{"a mark without a service", []config.MarkRule{markRule(8, config.TCP, "192.0.2.1/32", 80)}, "[]", ""},
		{"an exception", []config.MarkRule{markRule(8, config.TCP, "192.0.2.1/32", 22), markRule(7, config.TCP, "192.0.2.1/32")}, "[]",
			"leave v4 192.0.2.1/32 tcp 22-22; take v4 192.0.2.1/32 tcp 0-65535"},
		{"an exception in the other family", []config.MarkRule{markRule(8, config.TCP, "192.0.2.1/32", 22), markRule(7, config.TCP, "2001:db8::1/128")},
			"[[2001:db8::1]:*/tcp]", ""},
		{"an exception behind", []config.MarkRule{markRule(7, config.TCP, "192.0.2.1/32"), markRule(0, config.TCP, "192.0.2.1/32", 22)}, "[192.0.2.1:*/tcp]", ""},
		{"a prefix", []config.MarkRule{markRule(7, config.UDP, "192.0.2.0/24", 53), markRule(9, config.UDP, "192.0.2.1/32", 53)}, "[192.0.2.1:53/udp]", "take v4 192.0.2.0/24 udp 53-53"},
		{"a source", []config.MarkRule{from(markRule(7, config.UDP, "192.0.2.1/32", 53), "10.0.0.0/8", "")}, "[]", "take v4 192.0.2.1/32 from 10.0.0.0/8 udp 53-53"},
		{"a device", []config.MarkRule{from(markRule(7, config.UDP, "192.0.2.1/32", 53), "", "eth0")}, "[]", "take v4 192.0.2.1/32 udp 53-53 by eth0"},
		{"nothing but a port", []config.MarkRule{markRule(7, config.TCP, "", 80)}, "[]", "take v4 invalid Prefix tcp 80-80; take v6 invalid Prefix tcp 80-80"},
		{"many ports", []config.MarkRule{many}, "[]", "take v4 192.0.2.1/32 tcp 1-257"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var g goal
			g.takeMarks(&markSet{tt.rules}, func(mark uint32, _ bool) bool { return mark == 7 || mark == 9 })
			if got := fmt.Sprint(g.services); got != tt.services {
				t.Errorf("services %s, want %s", got, tt.services)
			}
			var patterns []string
			for _, x := range g.patterns {
				text := fmt.Sprintf("%s v%d %s", map[bool]string{false: "leave", true: "take"}[x.take], map[bool]int{false: 4, true: 6}[x.v6], x.destination)
				if x.source.IsValid() {
					text += " from " + x.source.String()
				}
				text += fmt.Sprintf(" %s %d-%d", strings.ToLower(config.Protocol(x.protocol).String()), x.ports.First, x.ports.Last)
				if x.device != "" {
					text += " by " + x.device
				}
				patterns = append(patterns, text)
			}
			if got := strings.Join(patterns, "; "); got != tt.patterns {
				t.Errorf("patterns %s\nwant     %s", got, tt.patterns)
			}
		})
	}
}

// TestMarkedServers: where a mark's NAT servers answer from.
func TestMarkedServers(t *testing.T) {
	marks := &markSet{[]config.MarkRule{
		markRule(7, config.TCP, "192.0.2.1/32", 80, 443), markRule(7, config.UDP, "192.0.2.1/32", 443), markRule(7, config.SCTP, "2001:db8::1/128", 99),
		markRule(9, 0, "192.0.2.1/32"),
	}}
	for _, tt := range []struct {
		mark        uint32
		server      string
		persistence time.Duration
		want        string
	}{
		{7, "198.51.100.1:8080", 0, "[198.51.100.1:8080/tcp 198.51.100.1:8080/udp]"},
		{7, "198.51.100.1:0", 0, "[198.51.100.1:80/tcp 198.51.100.1:443/tcp 198.51.100.1:80/udp 198.51.100.1:443/udp]"},
		{7, "198.51.100.1:8080", time.Minute, "[198.51.100.1:80/tcp 198.51.100.1:443/tcp 198.51.100.1:80/udp 198.51.100.1:443/udp]"},
		{9, "198.51.100.1:0", 0, "[198.51.100.1:*/tcp 198.51.100.1:*/udp 198.51.100.1:*/sctp]"},
		{8, "198.51.100.1:0", 0, "[]"},
	} {
		s := &table.Service{Key: table.Key{Fwmark: tt.mark}, Settings: table.ServiceSettings{Persistence: tt.persistence}}
		got := marks.markedServers(s, netip.MustParseAddrPort(tt.server))
		slices.SortStableFunc(got, func(a, b steer.Match) int { return int(a.Proto) - int(b.Proto) })
		got = slices.Compact(got)
		if fmt.Sprint(got) != tt.want {
			t.Errorf("mark %d, server %s, persistence %s: %v, want %s", tt.mark, tt.server, tt.persistence, got, tt.want)
		}
	}
}

// TestPatternsInBetween: while services change, what either table takes is taken.
func TestPatternsInBetween(t *testing.T) {
	take, other, leave := markPattern{take: true, device: "a"}, markPattern{take: true, device: "b"}, markPattern{device: "c"}
	for _, tt := range []struct{ old, next, want []markPattern }{
		{nil, []markPattern{leave, take}, []markPattern{leave, take}},
		{[]markPattern{leave, take}, nil, []markPattern{leave, take}},
		{[]markPattern{leave, take}, []markPattern{leave, take}, []markPattern{leave, take}},
		{[]markPattern{leave, take}, []markPattern{other}, []markPattern{take, other}},
		{slices.Repeat([]markPattern{take}, 30), []markPattern{other, other, other}, []markPattern{other, other, other}},
	} {
		if got := unionPatterns(tt.old, tt.next); !slices.Equal(got, tt.want) {
			t.Errorf("%v and %v: %v, want %v", tt.old, tt.next, got, tt.want)
		}
	}
}
