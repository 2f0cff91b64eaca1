package announce

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/internal/wire"
)

var (
	ourMAC   = wire.MAC{2, 0, 0, 0, 0, 1}
	otherMAC = wire.MAC{2, 0, 0, 0, 0, 2}
	vip4     = netip.MustParseAddr("198.51.100.80")
	vip6     = netip.MustParseAddr("2001:db8:1::80")
	peer6    = netip.MustParseAddr("2001:db8:1::101")
)

func serialize(t *testing.T, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func slice4(a netip.Addr) []byte { b := a.As4(); return b[:] }

func TestARPBytes(t *testing.T) {
	for _, tc := range []struct {
		name string
		arp  arp
		want layers.ARP
	}{
		{"probe", arpProbe(ourMAC, vip4), layers.ARP{
			SourceProtAddress: make([]byte, 4), DstHwAddress: make([]byte, 6), DstProtAddress: slice4(vip4),
		}},
		{"announcement", arpAnnouncement(ourMAC, vip4), layers.ARP{
			SourceProtAddress: slice4(vip4), DstHwAddress: broadcast[:], DstProtAddress: slice4(vip4),
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.AddrType, tc.want.Protocol, tc.want.Operation = layers.LinkTypeEthernet, layers.EthernetTypeIPv4, layers.ARPRequest
			tc.want.SourceHwAddress = ourMAC[:]
			want := serialize(t, &tc.want)
			got := tc.arp.bytes()
			if !bytes.Equal(got, want) {
				t.Errorf("got  % x\nwant % x", got, want)
			}
			if back, ok := parseARP(append(want, 0, 0, 0)); !ok || back != tc.arp {
				t.Errorf("parsed %+v, want %+v", back, tc.arp)
			}
		})
	}
}

// ndLayers are the packet as gopacket makes it.
func ndLayers(n nd) []gopacket.SerializableLayer {
	ip := &layers.IPv6{
		Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: 255,
		SrcIP: n.src.AsSlice(), DstIP: n.dst.AsSlice(),
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(n.kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	var options layers.ICMPv6Options
	option := layers.ICMPv6OptSourceAddress
	if n.kind == ndAdvertisement {
		option = layers.ICMPv6OptTargetAddress
	}
	if !n.mac.IsZero() {
		options = append(options, layers.ICMPv6Option{Type: option, Data: n.mac[:]})
	}
	if n.nonce != (nonce{}) {
		options = append(options, layers.ICMPv6Option{Type: ndNonce, Data: n.nonce[:]})
	}
	if n.kind == ndAdvertisement {
		return []gopacket.SerializableLayer{ip, icmp, &layers.ICMPv6NeighborAdvertisement{
			Flags: n.flags, TargetAddress: n.target.AsSlice(), Options: options,
		}}
	}
	return []gopacket.SerializableLayer{ip, icmp, &layers.ICMPv6NeighborSolicitation{
		TargetAddress: n.target.AsSlice(), Options: options,
	}}
}

func TestNDBytes(t *testing.T) {
	for _, tc := range []struct {
		name string
		nd   nd
	}{
		{"probe", ndProbe(vip6, nonce{1, 2, 3, 4, 5, 6})},
		{"announcement", ndAnnouncement(ourMAC, vip6, false)},
		{"announcement of a router", ndAnnouncement(ourMAC, vip6, true)},
		{"question with a source", nd{src: peer6, dst: solicitedNode(vip6), kind: ndSolicitation, target: vip6, mac: otherMAC}},
		{"answer without a MAC", nd{src: vip6, dst: peer6, kind: ndAdvertisement, flags: ndSolicited, target: vip6}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := serialize(t, ndLayers(tc.nd)...)
			got := tc.nd.bytes()
			if !bytes.Equal(got, want) {
				t.Errorf("got  % x\nwant % x", got, want)
			}
			if back, ok := parseND(append(want, 0, 0)); !ok || back != tc.nd {
				t.Errorf("parsed %+v, want %+v", back, tc.nd)
			}
		})
	}
}

func TestNDRefusesInvalid(t *testing.T) {
	good := ndAnnouncement(ourMAC, vip6, false).bytes()
	for _, tc := range []struct {
		name  string
		spoil func(b []byte) []byte
	}{
		{"hop limit below 255: it came through a router", func(b []byte) []byte { b[7] = 254; return b }},
		{"wrong checksum", func(b []byte) []byte { b[wire.IPv6Len+2] ^= 1; return b }},
		{"shorter than it says", func(b []byte) []byte { return b[:len(b)-1] }},
		{"not ICMPv6", func(b []byte) []byte { b[6] = wire.ProtoUDP; return b }},
		{"not IPv6", func(b []byte) []byte { b[0] = 0x45; return b }},
		{"another message", func(b []byte) []byte { b[wire.IPv6Len] = 128; return b }},
		{"an option of length 0", func(b []byte) []byte {
			b[wire.IPv6Len+ndLen+1] = 0
			b[wire.IPv6Len+2], b[wire.IPv6Len+3] = 0, 0
			c := ndChecksum(b, b[wire.IPv6Len:])
			b[wire.IPv6Len+2], b[wire.IPv6Len+3] = byte(c>>8), byte(c)
			return b
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if n, ok := parseND(tc.spoil(bytes.Clone(good))); ok {
				t.Errorf("accepted as %+v", n)
			}
		})
	}
}

func TestMulticastNames(t *testing.T) {
	group := solicitedNode(netip.MustParseAddr("2001:db8::1:2345:6789"))
	if want := netip.MustParseAddr("ff02::1:ff45:6789"); group != want {
		t.Errorf("solicited-node group %s, want %s", group, want)
	}
	if got, want := hardwareAddr(groupMAC(group)).String(), "33:33:ff:45:67:89"; got != want {
		t.Errorf("MAC of the group %s, want %s", got, want)
	}
}

// TestAnswer says which frames count as the voice of another owner.
func TestAnswer(t *testing.T) {
	link := Link{Index: 1, Name: "eth0", MAC: ourMAC}
	q4, q6 := newQuestion(link, vip4, true), newQuestion(link, vip6, true)
	owner4, owner6 := newQuestion(link, vip4, false), newQuestion(link, vip6, false)
	ours, ok := parseND(q6.frame[wire.EthernetLen:])
	if !ok {
		t.Fatal("our own probe does not parse")
	}
	other := Link{Index: 1, MAC: otherMAC}
	viaSwitch := Link{Index: 1, MAC: wire.MAC{2, 0, 0, 0, 0, 9}} // a sender that hides the owner
	arpFrame := func(l Link, a arp) []byte { return l.frame(broadcast, wire.EtherTypeARP, a.bytes()) }
	ndFrame := func(l Link, n nd) []byte { return l.frame(groupMAC(n.dst), wire.EtherTypeIPv6, n.bytes()) }
	peer4 := netip.MustParseAddr("198.51.100.101")

	for _, tc := range []struct {
		name  string
		q     question
		frame []byte
		own   [][6]byte
		want  bool
	}{
		{"ARP reply of the owner", q4, arpFrame(other, arp{arpReply, otherMAC, vip4, ourMAC, netip.IPv4Unspecified()}), nil, true},
		{"ARP request of the owner for someone else", q4, arpFrame(other, arp{arpRequest, otherMAC, vip4, wire.MAC{}, peer4}), nil, true},
		{"ARP announcement", q4, arpFrame(other, arpAnnouncement(otherMAC, vip4)), nil, true},
		{"ARP probe of another host", q4, arpFrame(other, arpProbe(otherMAC, vip4)), nil, true},
		{"our own probe, sent back to us", q4, q4.frame, nil, false},
		{"our own announcement, sent back to us", q4, arpFrame(link, arpAnnouncement(ourMAC, vip4)), nil, false},
		{"our own probe, sent back by a device that hides our MAC", q4, arpFrame(other, arpProbe(ourMAC, vip4)), nil, false},
		{"announcement of a virtual MAC from our device", q4, arpFrame(link, arpAnnouncement(otherMAC, vip4)), nil, false},
		{"ARP question for the address", q4, arpFrame(other, arp{arpRequest, otherMAC, peer4, wire.MAC{}, vip4}), nil, false},
		{"ARP reply about another address", q4, arpFrame(other, arp{arpReply, otherMAC, peer4, ourMAC, vip4}), nil, false},
		{"ARP reply of another device of ours", q4, arpFrame(other, arp{arpReply, otherMAC, vip4, ourMAC, peer4}), [][6]byte{otherMAC}, false},
		{"ARP probe of another host, where owners count", owner4, arpFrame(other, arpProbe(otherMAC, vip4)), nil, false},
		{"ARP reply of the owner, where owners count", owner4, arpFrame(other, arp{arpReply, otherMAC, vip4, ourMAC, netip.IPv4Unspecified()}), nil, true},
		{"cut ARP packet", q4, arpFrame(other, arpAnnouncement(otherMAC, vip4))[:30], nil, false},

		{"advertisement of the owner", q6, ndFrame(other, ndAnnouncement(otherMAC, vip6, false)), nil, true},
		{"advertisement without a MAC", q6, ndFrame(other, nd{src: vip6, dst: peer6, kind: ndAdvertisement, target: vip6}), nil, true},
		{"advertisement with another sender than owner", q6, ndFrame(viaSwitch, ndAnnouncement(otherMAC, vip6, false)), nil, true},
		{"solicitation of another host that probes", q6, ndFrame(other, ndProbe(vip6, nonce{7})), nil, true},
		{"solicitation of another host that probes, where owners count", owner6, ndFrame(other, ndProbe(vip6, nonce{7})), nil, false},
		{"advertisement of the owner, where owners count", owner6, ndFrame(other, ndAnnouncement(otherMAC, vip6, false)), nil, true},
		{"solicitation without a nonce", q6, ndFrame(other, ndProbe(vip6, nonce{})), nil, true},
		{"our own solicitation, sent back by a device that hides our MAC", q6, ndFrame(other, ours), nil, false},
		{"solicitation by someone who looks for the address", q6, ndFrame(other, nd{src: peer6, dst: solicitedNode(vip6), kind: ndSolicitation, target: vip6, mac: otherMAC}), nil, false},
		{"advertisement of another address", q6, ndFrame(other, ndAnnouncement(otherMAC, peer6, false)), nil, false},
		{"advertisement of another device of ours", q6, ndFrame(other, ndAnnouncement(otherMAC, vip6, false)), [][6]byte{otherMAC}, false},
		{"nothing", q6, nil, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			owner, found := tc.q.answer(tc.frame, tc.own)
			if found != tc.want {
				t.Fatalf("found %v, want %v", found, tc.want)
			}
			if found && owner != otherMAC {
				t.Errorf("owner %s, want %s", hardwareAddr(owner), hardwareAddr(otherMAC))
			}
		})
	}
}

func FuzzARP(f *testing.F) {
	f.Add(arpProbe(ourMAC, vip4).bytes())
	f.Add(arpAnnouncement(ourMAC, vip4).bytes())
	f.Add([]byte{0, 1, 8, 0, 6, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseARP(b)
		if !ok {
			return
		}
		if got := a.bytes(); !bytes.Equal(got, b[:arpLen]) {
			t.Errorf("parsed and made again\n% x\nfrom\n% x", got, b[:arpLen])
		}
		var ref layers.ARP
		if err := ref.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			t.Fatalf("accepted what gopacket refuses: %v", err)
		}
		if net.HardwareAddr(ref.SourceHwAddress).String() != hardwareAddr(a.senderMAC).String() || !bytes.Equal(ref.DstProtAddress, slice4(a.targetIP)) {
			t.Errorf("%+v, gopacket: %+v", a, ref)
		}
	})
}

func FuzzND(f *testing.F) {
	f.Add(ndProbe(vip6, nonce{1}).bytes())
	f.Add(ndAnnouncement(ourMAC, vip6, true).bytes())
	f.Add(make([]byte, wire.IPv6Len+ndLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		// A random checksum is never right: take what follows the header as the message.
		if len(b) >= wire.IPv6Len+ndLen {
			b = bytes.Clone(b)
			b[0], b[6], b[7] = 0x60, wire.ProtoICMPv6, ndHopLimit
			n := len(b) - wire.IPv6Len
			b[4], b[5] = byte(n>>8), byte(n)
			b[wire.IPv6Len+2], b[wire.IPv6Len+3] = 0, 0
			c := ndChecksum(b, b[wire.IPv6Len:])
			b[wire.IPv6Len+2], b[wire.IPv6Len+3] = byte(c>>8), byte(c)
		}
		n, ok := parseND(b)
		if !ok {
			return
		}
		again, ok := parseND(n.bytes())
		if !ok || again != n {
			t.Errorf("%+v became %+v", n, again)
		}
	})
}
