package hostnet

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attr is an attribute with its padding.
func attr(kind int, v ...byte) []byte { return nl.NewRtAttr(kind, v).Serialize() }

func attr32(kind int, v uint32) []byte { return attr(kind, nl.Uint32Attr(v)...) }

func attrAddr(kind int, a string) []byte { return attr(kind, netip.MustParseAddr(a).AsSlice()...) }

// message joins a header and attributes.
func message(header []byte, attrs ...[]byte) []byte {
	for _, a := range attrs {
		header = append(header, a...)
	}
	return header
}

// linkHeader is struct ifinfomsg.
func linkHeader(family byte, hardware uint16, index, flags uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	b[0] = family
	binary.NativeEndian.PutUint16(b[2:], hardware)
	binary.NativeEndian.PutUint32(b[4:], index)
	binary.NativeEndian.PutUint32(b[8:], flags)
	return b
}

// addrHeader is struct ifaddrmsg.
func addrHeader(family, length, flags, scope byte, index uint32) []byte {
	return append([]byte{family, length, flags, scope}, nl.Uint32Attr(index)...)
}

// neighHeader is struct ndmsg.
func neighHeader(family byte, index uint32, state uint16, flags byte) []byte {
	b := make([]byte, unix.SizeofNdMsg)
	b[0], b[10] = family, flags
	binary.NativeEndian.PutUint32(b[4:], index)
	binary.NativeEndian.PutUint16(b[8:], state)
	return b
}

// routeHeader is struct rtmsg.
func routeHeader(family, dst, src, tos, table, kind byte, flags uint32) []byte {
	return append([]byte{family, dst, src, tos, table, 0, 0, kind}, nl.Uint32Attr(flags)...)
}

// hop is a struct rtnexthop with its attributes.
func hop(flags, weight byte, index uint32, attrs ...[]byte) []byte {
	b := message(append([]byte{0, 0, flags, weight - 1}, nl.Uint32Attr(index)...), attrs...)
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	return b
}

func TestDecode(t *testing.T) {
	mac := [6]byte{2, 0, 0, 0, 0, 7}
	const up = unix.IFF_UP
	infoVLAN := message(nil, attr(infoKind, []byte("vlan\x00")...), attr(infoData, attr(vlanID, nl.Uint16Attr(10)...)...))
	infoPort := message(nil, attr(infoKind, []byte("veth\x00")...), attr(infoSlaveKind, []byte("bridge\x00")...))
	for _, tc := range []struct {
		name        string
		kind, flags uint16
		payload     []byte
		want        event
	}{
		{
			"VLAN device", unix.RTM_NEWLINK, 0,
			message(linkHeader(0, unix.ARPHRD_ETHER, 5, up), attr(unix.IFLA_IFNAME, []byte("eth0.10\x00")...), attr(unix.IFLA_ADDRESS, mac[:]...),
				attr32(unix.IFLA_MTU, 1500), attr32(unix.IFLA_LINK, 2), attr(unix.IFLA_OPERSTATE, operUp), attr(unix.IFLA_CARRIER, 1), attr(unix.IFLA_LINKINFO, infoVLAN...)),
			linkChanged{Link{Index: 5, Name: "eth0.10", MAC: mac, MTU: 1500, Admin: true, Up: true, Ethernet: true, Kind: "vlan", Parent: 2, VLAN: 10}},
		},
		{
			"veth as a port: the peer is no parent", unix.RTM_NEWLINK, 0,
			message(linkHeader(0, unix.ARPHRD_ETHER, 5, up), attr32(unix.IFLA_LINK, 6), attr32(unix.IFLA_MASTER, 9), attr(unix.IFLA_OPERSTATE, 2), attr(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, infoPort...)),
			linkChanged{Link{Index: 5, Admin: true, Ethernet: true, Kind: "veth", Master: 9, MasterKind: "bridge"}},
		},
		{
			"macvlan of another namespace's device", unix.RTM_NEWLINK, 0,
			message(linkHeader(0, unix.ARPHRD_ETHER, 5, 0), attr32(unix.IFLA_LINK, 6), attr32(unix.IFLA_LINK_NETNSID, 0)),
			linkChanged{Link{Index: 5, Ethernet: true}},
		},
		{"carrier lost", unix.RTM_NEWLINK, 0, message(linkHeader(0, 1, 5, up), attr(unix.IFLA_CARRIER, 0)), linkChanged{Link{Index: 5, Admin: true, Ethernet: true}}},
		{"loopback", unix.RTM_NEWLINK, 0, linkHeader(0, unix.ARPHRD_LOOPBACK, 1, up|unix.IFF_LOOPBACK), linkChanged{Link{Index: 1, Admin: true, Up: true, Loopback: true}}},
		{"link gone", unix.RTM_DELLINK, 0, linkHeader(0, 1, 5, 0), linkGone{5}},
		{"port left its bridge", unix.RTM_DELLINK, 0, linkHeader(unix.AF_BRIDGE, 1, 5, 0), nil},

		{
			"IPv4 address", unix.RTM_NEWADDR, 0,
			message(addrHeader(unix.AF_INET, 24, 0, 0, 2), attrAddr(unix.IFA_ADDRESS, "192.0.2.7"), attrAddr(unix.IFA_LOCAL, "192.0.2.7"),
				attrAddr(unix.IFA_BROADCAST, "192.0.2.255"), attr(unix.IFA_LABEL, []byte("eth0:1\x00")...), attr32(unix.IFA_FLAGS, uint32(FlagPermanent|FlagNoPrefixRoute))),
			addressChanged{Address{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.7/24"), Broadcast: netip.MustParseAddr("192.0.2.255"), Label: "eth0:1", Flags: FlagPermanent | FlagNoPrefixRoute}},
		},
		{
			"IPv6 address", unix.RTM_NEWADDR, 0,
			message(addrHeader(unix.AF_INET6, 64, byte(FlagTentative), ScopeLink, 2), attrAddr(unix.IFA_ADDRESS, "fe80::1")),
			addressChanged{Address{Link: 2, Prefix: netip.MustParsePrefix("fe80::1/64"), Scope: ScopeLink, Flags: FlagTentative}},
		},
		{
			"point-to-point address: the length is the peer's", unix.RTM_DELADDR, 0,
			message(addrHeader(unix.AF_INET, 24, 0, 0, 2), attrAddr(unix.IFA_ADDRESS, "192.0.2.9"), attrAddr(unix.IFA_LOCAL, "198.51.100.1")),
			addressGone{addressKey{2, netip.MustParsePrefix("198.51.100.1/32"), netip.MustParsePrefix("192.0.2.9/24")}},
		},
		{"address of a wrong length", unix.RTM_NEWADDR, 0, message(addrHeader(unix.AF_INET, 33, 0, 0, 2), attrAddr(unix.IFA_LOCAL, "192.0.2.7")), nil},

		{
			"neighbour", unix.RTM_NEWNEIGH, 0,
			message(neighHeader(unix.AF_INET, 2, uint16(Stale), 0), attrAddr(unix.NDA_DST, "192.0.2.9"), attr(unix.NDA_LLADDR, mac[:]...)),
			newNeighbour(Neighbour{Link: 2, Addr: netip.MustParseAddr("192.0.2.9"), MAC: mac, State: Stale, Usable: true}),
		},
		{
			"neighbour that does not answer", unix.RTM_NEWNEIGH, 0,
			message(neighHeader(unix.AF_INET6, 2, uint16(Failed), 0), attrAddr(unix.NDA_DST, "fe80::9")),
			newNeighbour(Neighbour{Link: 2, Addr: netip.MustParseAddr("fe80::9"), State: Failed}),
		},
		{"multicast group", unix.RTM_NEWNEIGH, 0, message(neighHeader(unix.AF_INET6, 2, uint16(NoARP), 0), attrAddr(unix.NDA_DST, "ff02::16"), attr(unix.NDA_LLADDR, 0x33, 0x33, 0, 0, 0, 22)), nil},
		{"proxy entry", unix.RTM_NEWNEIGH, 0, message(neighHeader(unix.AF_INET, 2, 0, unix.NTF_PROXY), attrAddr(unix.NDA_DST, "192.0.2.9")), nil},
		{"bridge's forwarding table", unix.RTM_NEWNEIGH, 0, message(neighHeader(unix.AF_BRIDGE, 2, 0x80, 0), attr(unix.NDA_LLADDR, mac[:]...)), nil},

		{
			"default route", unix.RTM_NEWROUTE, unix.NLM_F_REPLACE,
			message(routeHeader(unix.AF_INET, 0, 0, 0, 254, 1, 0), attrAddr(unix.RTA_GATEWAY, "192.0.2.254"), attr32(unix.RTA_OIF, 2), attr32(unix.RTA_PRIORITY, 100),
				attrAddr(unix.RTA_PREFSRC, "192.0.2.7"), attr(unix.RTA_METRICS, attr32(unix.RTAX_MTU, 1400)...)),
			routeAdded{Route{
				Dst: netip.MustParsePrefix("0.0.0.0/0"), Table: 254, Kind: Unicast, Metric: 100, MTU: 1400, Source: netip.MustParseAddr("192.0.2.7"),
				Hops: []Hop{{Link: 2, Gateway: netip.MustParseAddr("192.0.2.254"), Weight: 1}},
			}, true},
		},
		{
			"multipath with a dead hop and an IPv6 gateway", unix.RTM_DELROUTE, 0,
			message(routeHeader(unix.AF_INET, 8, 0, 0, 0, 1, 0), attr32(unix.RTA_TABLE, 1000), attrAddr(unix.RTA_DST, "10.0.0.0"),
				attr(unix.RTA_MULTIPATH, message(nil, hop(0, 3, 2, attrAddr(unix.RTA_GATEWAY, "192.0.2.254")), hop(unix.RTNH_F_DEAD, 1, 3),
					hop(0, 1, 4, attr(unix.RTA_VIA, append(nl.Uint16Attr(unix.AF_INET6), netip.MustParseAddr("fe80::1").AsSlice()...)...)))...)),
			routeGone{Route{Dst: netip.MustParsePrefix("10.0.0.0/8"), Table: 1000, Kind: Unicast, Hops: []Hop{
				{Link: 2, Gateway: netip.MustParseAddr("192.0.2.254"), Weight: 3}, {Link: 4, Gateway: netip.MustParseAddr("fe80::1"), Weight: 1},
			}}},
		},
		{"unreachable, IPv6", unix.RTM_NEWROUTE, 0, message(routeHeader(unix.AF_INET6, 0, 0, 0, 254, 7, 0), attr32(unix.RTA_OIF, 1)), routeAdded{Route{Dst: netip.MustParsePrefix("::/0"), Table: 254, Kind: Unreachable}, false}},
		{"clone in the cache", unix.RTM_NEWROUTE, 0, message(routeHeader(unix.AF_INET, 0, 0, 0, 254, 1, unix.RTM_F_CLONED), attr32(unix.RTA_OIF, 2)), nil},
		{"route by type of service", unix.RTM_NEWROUTE, 0, message(routeHeader(unix.AF_INET, 0, 0, 8, 254, 1, 0), attr32(unix.RTA_OIF, 2)), nil},
		{"route by source", unix.RTM_NEWROUTE, 0, message(routeHeader(unix.AF_INET6, 0, 64, 0, 254, 1, 0), attr32(unix.RTA_OIF, 2)), nil},
		{"multicast routing", unix.RTM_NEWROUTE, 0, routeHeader(128, 0, 0, 0, 254, 1, 0), nil},

		{"forwarding", unix.RTM_NEWNETCONF, 0, message([]byte{unix.AF_INET6, 0, 0, 0}, attr32(netconfIfindex, netconfAll), attr32(netconfForwarding, 1)), forwardingChanged{true, true}},
		{"forwarding of one device", unix.RTM_NEWNETCONF, 0, message([]byte{unix.AF_INET6, 0, 0, 0}, attr32(netconfIfindex, 2), attr32(netconfForwarding, 1)), nil},
		{"rule", unix.RTM_DELRULE, 0, nil, rulesTouched{}},
		{"something else", unix.RTM_NEWQDISC, 0, nil, nil},
		{"cut header", unix.RTM_NEWROUTE, 0, make([]byte, 11), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := decode(tc.kind, tc.flags, tc.payload); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("\ngot  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestDecodeRule(t *testing.T) {
	r, ok := decodeRule(message(routeHeader(unix.AF_INET, 24, 8, 0, 0, ruleToTable, ruleInvert),
		attrAddr(unix.FRA_DST, "192.0.2.0"), attrAddr(unix.FRA_SRC, "10.0.0.0"), attr(unix.FRA_IIFNAME, []byte("eth1\x00")...),
		attr32(unix.FRA_PRIORITY, 90), attr32(unix.FRA_TABLE, 100), attr32(unix.FRA_FWMARK, 1), attr32(unix.FRA_FWMASK, 255)))
	const want = "90: not from 10.0.0.0/8 to 192.0.2.0/24 fwmark 0x1/0xff iif eth1 lookup 100"
	if !ok || r.String() != want || r.standard() {
		t.Errorf("got %q, %v, standard %v; want %q", r, ok, r.standard(), want)
	}
	for table, priority := range map[byte]uint32{TableLocal: 0, TableMain: 32766, TableDefault: 32767} {
		r, ok := decodeRule(message(routeHeader(unix.AF_INET6, 0, 0, 0, table, ruleToTable, 0), attr32(unix.FRA_PRIORITY, priority)))
		if !ok || !r.standard() {
			t.Errorf("%q is not taken for a standard rule", r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWLINK), message(linkHeader(0, 1, 5, 1), attr(unix.IFLA_LINKINFO, attr(infoKind, 'v', 0)...)))
	f.Add(uint16(unix.RTM_NEWADDR), message(addrHeader(unix.AF_INET, 24, 0, 0, 2), attrAddr(unix.IFA_LOCAL, "192.0.2.7")))
	f.Add(uint16(unix.RTM_NEWNEIGH), message(neighHeader(unix.AF_INET, 2, 2, 0), attrAddr(unix.NDA_DST, "192.0.2.9")))
	f.Add(uint16(unix.RTM_NEWROUTE), message(routeHeader(unix.AF_INET, 8, 0, 0, 254, 1, 0), attr(unix.RTA_MULTIPATH, hop(0, 3, 2, attrAddr(unix.RTA_GATEWAY, "192.0.2.254"))...)))
	f.Add(uint16(unix.RTM_NEWNETCONF), message([]byte{unix.AF_INET, 0, 0, 0}, attr32(netconfIfindex, netconfAll), attr32(netconfForwarding, 1)))
	f.Fuzz(func(t *testing.T, kind uint16, payload []byte) {
		_, _ = decodeRule(payload)
		_, _ = decodeOwnRoute(payload)
		_, _ = decodeDevice(payload)
		ev := decode(unix.RTM_NEWLINK+kind%100, 0, payload)
		if ev == nil {
			return
		}
		st := newState()
		st.apply(ev)
		st.snapshot()
	})
}
