package preflight

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

func TestMentions(t *testing.T) {
	vip, vip6 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")
	load := func(offset, n uint32) *expr.Payload {
		return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}
	}
	into := func(register uint32, p *expr.Payload) *expr.Payload { p.DestRegister = register; return p }
	bytesOf := func(s string) []byte { return netip.MustParseAddr(s).AsSlice() }
	concat := slices.Concat[[]byte]
	port := into(9, &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	lookup := func(set string) *expr.Lookup { return &expr.Lookup{SourceRegister: 1, SetName: set} }
	p80 := []byte{0, 80, 0, 0}
	sets := func(name string) []span {
		switch name {
		case "hosts":
			return spansOf([]nftables.SetElement{{Key: bytesOf("192.0.2.9")}, {Key: bytesOf("192.0.2.10")}}, false)
		case "ranges":
			return spansOf([]nftables.SetElement{
				{Key: bytesOf("0.0.0.0"), IntervalEnd: true}, {Key: bytesOf("192.0.2.8")}, {Key: bytesOf("192.0.2.16"), IntervalEnd: true},
			}, true)
		case "before":
			return spansOf([]nftables.SetElement{{Key: bytesOf("192.0.2.0")}, {Key: bytesOf("192.0.2.10"), IntervalEnd: true}}, true)
		case "host . port":
			return spansOf([]nftables.SetElement{{Key: concat(bytesOf("192.0.2.10"), p80)}}, false)
		case "port . host":
			return spansOf([]nftables.SetElement{{Key: concat(p80, bytesOf("192.0.2.10"))}}, false)
		case "port . range":
			return spansOf([]nftables.SetElement{{Key: concat(p80, bytesOf("192.0.2.8")), KeyEnd: concat([]byte{1, 187, 0, 0}, bytesOf("192.0.2.15"))}}, false)
		case "port . another range":
			return spansOf([]nftables.SetElement{{Key: concat(p80, bytesOf("192.0.2.1")), KeyEnd: concat([]byte{1, 187, 0, 0}, bytesOf("192.0.2.9"))}}, false)
		case "host6 . port":
			return spansOf([]nftables.SetElement{{Key: concat(bytesOf("2001:db8::10"), p80)}}, false)
		}
		return nil
	}
	for _, c := range []struct {
		name  string
		exprs []expr.Any
		want  []netip.Addr
	}{
		{"destination", []expr.Any{load(destination4, 4), &expr.Cmp{Data: bytesOf("192.0.2.10")}}, []netip.Addr{vip}},
		{"source", []expr.Any{load(source4, 4), &expr.Cmp{Data: bytesOf("192.0.2.10")}}, []netip.Addr{vip}},
		{"another address", []expr.Any{load(destination4, 4), &expr.Cmp{Data: bytesOf("192.0.2.11")}}, nil},
		{"the same bytes elsewhere", []expr.Any{load(4, 4), &expr.Cmp{Data: bytesOf("192.0.2.10")}}, nil},
		{"a comparison of something else", []expr.Any{load(destination4, 4), &expr.Cmp{Data: bytesOf("1.1.1.1")}, &expr.Cmp{Data: bytesOf("192.0.2.10")}}, nil},
		{"network by whole bytes", []expr.Any{load(destination4, 3), &expr.Cmp{Data: []byte{192, 0, 2}}}, []netip.Addr{vip}},
		{
			"network by mask", []expr.Any{load(destination4, 4), &expr.Bitwise{Mask: []byte{255, 255, 255, 240}}, &expr.Cmp{Data: bytesOf("192.0.2.0")}},
			[]netip.Addr{vip},
		},
		{"another network by mask", []expr.Any{load(destination4, 4), &expr.Bitwise{Mask: []byte{255, 255, 255, 240}}, &expr.Cmp{Data: bytesOf("192.0.2.16")}}, nil},
		{"range", []expr.Any{load(destination4, 4), &expr.Range{FromData: bytesOf("192.0.2.1"), ToData: bytesOf("192.0.2.10")}}, []netip.Addr{vip}},
		{"below the range", []expr.Any{load(destination4, 4), &expr.Range{FromData: bytesOf("192.0.2.11"), ToData: bytesOf("192.0.2.12")}}, nil},
		{"IPv6", []expr.Any{load(destination6, 16), &expr.Cmp{Data: bytesOf("2001:db8::10")}}, []netip.Addr{vip6}},
		{"set", []expr.Any{load(destination4, 4), &expr.Lookup{SetName: "hosts"}}, []netip.Addr{vip}},
		{"interval set", []expr.Any{load(destination4, 4), &expr.Lookup{SetName: "ranges"}}, []netip.Addr{vip}},
		{"address and port", []expr.Any{into(1, load(destination4, 4)), port, lookup("host . port")}, []netip.Addr{vip}},
		{"port and address", []expr.Any{into(8, &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}), into(9, load(destination4, 4)),
			&expr.Lookup{SourceRegister: 8, SetName: "port . host"}}, []netip.Addr{vip}},
		{"port and range", []expr.Any{into(9, load(source4, 4)), &expr.Lookup{SourceRegister: 1, SetName: "port . range"}}, []netip.Addr{vip}},
		{"port and another range", []expr.Any{into(9, load(source4, 4)), &expr.Lookup{SourceRegister: 1, SetName: "port . another range"}}, nil},
		{"port and address in the other order", []expr.Any{into(1, load(destination4, 4)), port, lookup("port . host")}, nil},
		{"IPv6 address and port", []expr.Any{into(1, load(destination6, 16)), into(2, &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}),
			lookup("host6 . port")}, []netip.Addr{vip6}},
		{"another register", []expr.Any{into(2, load(destination4, 4)), &expr.Cmp{Register: 1, Data: bytesOf("192.0.2.10")}}, nil},
		{"an overwritten register", []expr.Any{into(1, load(destination4, 4)), into(1, load(4, 4)), &expr.Cmp{Register: 1, Data: bytesOf("192.0.2.10")}}, nil},
		{"source and destination at once", []expr.Any{into(1, load(source4, 8)), &expr.Cmp{Register: 1, Data: concat(bytesOf("10.0.0.1"), bytesOf("192.0.2.10"))}},
			[]netip.Addr{vip}},
		{"other addresses at once", []expr.Any{into(1, load(source4, 8)), &expr.Cmp{Register: 1, Data: concat(bytesOf("10.0.0.1"), bytesOf("10.0.0.2"))}}, nil},
		{"interval set that ends before", []expr.Any{load(destination4, 4), &expr.Lookup{SetName: "before"}}, nil},
	} {
		if got := mentions(c.exprs, []netip.Addr{vip, vip6}, sets); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSavedRules(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.10")
	saved := "# Generated\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -d 192.0.2.10/32 -p tcp -j DROP\n-A INPUT -d 192.0.2.11/32 -j DROP\n" +
		"-A FORWARD -s 192.0.2.0/24 -j ACCEPT\n-A FORWARD -s 0.0.0.0/0 -j ACCEPT\nCOMMIT\n*nat\n-A PREROUTING -d 192.0.2.10/32 -j DNAT\nCOMMIT\n" +
		"*raw\n-A uvs-steer-match -d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j DROP\nCOMMIT\n"
	got := savedRules("iptables", saved, []netip.Addr{vip})
	want := []FirewallRule{
		{vip, "iptables table filter chain INPUT"},
		{vip, "iptables table filter chain FORWARD"},
		{vip, "iptables table nat chain PREROUTING"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestSpanEnd(t *testing.T) {
	end := func(s string) nftables.SetElement {
		return nftables.SetElement{Key: netip.MustParseAddr(s).AsSlice(), IntervalEnd: true}
	}
	first := netip.MustParseAddr("10.0.0.0").AsSlice()
	got := endOf(first, []nftables.SetElement{end("12.0.0.0"), end("11.0.0.0"), end("9.0.0.0")})
	if want := netip.MustParseAddr("10.255.255.255").AsSlice(); !slices.Equal(got, want) {
		t.Errorf("end of an interval: got %v, want %v", got, want)
	}
	if got := endOf(first, nil); !slices.Equal(got, []byte{255, 255, 255, 255}) {
		t.Errorf("end of an open interval: got %v", got)
	}
}

// FuzzFirewall: whatever is in rules and sets of other software, nothing but virtual
// addresses is reported.
func FuzzFirewall(f *testing.F) {
	f.Add("*filter\n-A INPUT -d 192.0.2.10/32 -p tcp -j DROP\nCOMMIT\n", []byte{192, 0, 2, 10}, []byte{192, 0, 2, 16}, uint32(destination4), uint32(4))
	f.Add("-A -d\n", []byte{0x20, 1, 0xd, 0xb8}, []byte(nil), uint32(source6), uint32(16))
	vips := []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}
	f.Fuzz(func(t *testing.T, saved string, first, last []byte, offset, n uint32) {
		for _, r := range savedRules("iptables", saved, vips) {
			if !slices.Contains(vips, r.VIP) {
				t.Errorf("%q: reported %v", saved, r)
			}
		}
		elements := []nftables.SetElement{{Key: first}, {Key: last, IntervalEnd: true}, {Key: first, KeyEnd: last}}
		for _, interval := range []bool{false, true} {
			exprs := []expr.Any{
				&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}, &expr.Bitwise{Mask: last}, &expr.Cmp{Data: first},
				&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}, &expr.Range{FromData: first, ToData: last},
				&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}, &expr.Lookup{},
			}
			for _, a := range mentions(exprs, vips, func(string) []span { return spansOf(elements, interval) }) {
				if !slices.Contains(vips, a) {
					t.Errorf("reported %v", a)
				}
			}
		}
	})
}
