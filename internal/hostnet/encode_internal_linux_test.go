package hostnet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEncodeTunnels holds the tunnels that a kernel often lacks; the others are judged by
// ip-route(8).
func TestEncodeTunnels(t *testing.T) {
	for _, tc := range []struct {
		name  string
		encap Encap
		want  []byte // RTA_ENCAP
	}{
		{"labels, the last one marked", Encap{Kind: EncapMPLS, Labels: []uint32{100, 0xfffff}, PropagateTTL: 9},
			message(nil, attr(mplsDst, 0x00, 0x06, 0x40, 0x00, 0xff, 0xff, 0xf1, 0x00), attr(mplsTTL, 9))},
		{"locator", Encap{Kind: EncapILA, Locator: 0x0001000200030004}, attr(ilaLocator, 0, 1, 0, 2, 0, 3, 0, 4)},
		{"flags of IP", Encap{Kind: EncapIP, Dest: netip.MustParseAddr("10.0.0.1"), Flags: 0x0102}, message(nil, attr(lwtDst, 10, 0, 0, 1), attr(lwtFlags, 1, 2))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := RouteSpec{Kind: Unicast, Table: TableMain, Dst: netip.MustParsePrefix("10.0.0.0/8"), Hops: []HopSpec{{Link: 2, Encap: &tc.encap}}}
			b, err := encodeRoute(r, false)
			if err != nil {
				t.Fatal(err)
			}
			found := map[uint16][]byte{}
			for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
				found[kind] = v
			}
			if got := binary.NativeEndian.Uint16(found[unix.RTA_ENCAP_TYPE]); got != uint16(tc.encap.Kind) {
				t.Errorf("type %d, want %d", got, tc.encap.Kind)
			}
			if got := found[unix.RTA_ENCAP]; !bytes.Equal(got, tc.want) {
				t.Errorf("\ngot  %x\nwant %x", got, tc.want)
			}
		})
	}
}

// TestEncodeRefuses asks for what the kernel would misunderstand.
func TestEncodeRefuses(t *testing.T) {
	dst := netip.MustParsePrefix("10.0.0.0/8")
	for name, r := range map[string]RouteSpec{
		"no destination":    {},
		"no labels":         {Dst: dst, Hops: []HopSpec{{Link: 2, Encap: &Encap{Kind: EncapMPLS}}}},
		"unknown tunnel":    {Dst: dst, Hops: []HopSpec{{Link: 2, Encap: &Encap{Kind: 77}}}},
		"weight over 256":   {Dst: dst, Hops: []HopSpec{{Link: 2}, {Link: 3, Weight: 257}}},
		"tunnel of one hop": {Dst: dst, Hops: []HopSpec{{Link: 2, Encap: &Encap{Kind: 77}}, {Link: 3}}},
	} {
		if _, err := encode(AddRoute{r}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestEncodedRulesDecode sends rules through both codecs.
func TestEncodedRulesDecode(t *testing.T) {
	for _, r := range []Rule{
		{Priority: 1, Action: ruleToTable, Table: 100, Protocol: ProtocolKeepalived},
		{Priority: 2, Action: ruleToTable, Table: 1000, Src: netip.MustParsePrefix("10.0.0.0/8"), Dst: netip.MustParsePrefix("192.0.2.0/24"), TOS: 0x10},
		{Priority: 3, Action: ruleGoto, Goto: 7, Inverted: true, In: "eth0", Out: "eth1", Mark: 1, Mask: 3, Realms: 1<<16 | 2},
		{Priority: 4, IPv6: true, Action: ruleToTable, Table: 254, UIDs: RuleRange{true, 1, 2}, IPProtocol: 17, SourcePorts: RuleRange{true, 3, 4},
			DestPorts: RuleRange{true, 5, 6}, TunnelID: 1 << 40, SuppressesLength: true, SuppressesGroup: true, SuppressGroup: 9},
		{Priority: 5, Action: ruleToTable, L3MDev: true},
	} {
		if got, ok := decodeRule(encodeRule(r)); !ok || got != r {
			t.Errorf("\ngot  %+v\nwant %+v", got, r)
		}
	}
}

// TestEncodedRoutesDecode sends what is kept of a route through both codecs.
func TestEncodedRoutesDecode(t *testing.T) {
	a := netip.MustParseAddr
	for _, r := range []RouteSpec{
		{Kind: Unicast, Dst: netip.MustParsePrefix("10.0.0.0/8"), Table: 1000, Metric: 5, Scope: ScopeLink, TOS: 0x10, Source: a("192.0.2.1"), Hops: []HopSpec{{Link: 2, Gateway: a("192.0.2.9")}}},
		{Kind: Unicast, Dst: netip.MustParsePrefix("::/0"), From: netip.MustParsePrefix("2001:db8::/32"), Table: TableMain, Hops: []HopSpec{{Link: 2, Weight: 3}, {Link: 3, Gateway: a("fe80::1"), Weight: 256}}},
		{Kind: Blackhole, Dst: netip.MustParsePrefix("10.0.0.0/8"), Table: TableMain},
	} {
		r.Protocol = ProtocolKeepalived
		b, err := encodeRoute(r, false)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := decodeOwnRoute(b); !ok || !got.equal(r) {
			t.Errorf("\ngot  %+v\nwant %+v", got, r)
		}
		r.Protocol = 4
		if b, err = encodeRoute(r, false); err != nil {
			t.Fatal(err)
		}
		if got, ok := decodeOwnRoute(b); ok {
			t.Errorf("%+v is taken for ours", got)
		}
	}
}
