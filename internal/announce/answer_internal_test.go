package announce

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/internal/wire"
)

// echo returns the frame of an echo message, as gopacket makes it.
func echo(t *testing.T, from, to wire.MAC, src, dst netip.Addr, reply bool) []byte {
	t.Helper()
	payload := gopacket.Payload("long enough for a frame without padding")
	eth := &layers.Ethernet{SrcMAC: from[:], DstMAC: to[:], EthernetType: layers.EthernetTypeIPv4}
	if src.Is4() {
		kind := uint8(layers.ICMPv4TypeEchoRequest)
		flags := layers.IPv4Flag(0)
		if reply {
			kind, flags = layers.ICMPv4TypeEchoReply, layers.IPv4DontFragment
		}
		ip := &layers.IPv4{Version: 4, TTL: 64, Flags: flags, Protocol: layers.IPProtocolICMPv4, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		return serialize(t, eth, ip, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0), Id: 7, Seq: 9}, payload)
	}
	kind := uint8(layers.ICMPv6TypeEchoRequest)
	if reply {
		kind = layers.ICMPv6TypeEchoReply
	}
	eth.EthernetType = layers.EthernetTypeIPv6
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return serialize(t, eth, ip, icmp, &layers.ICMPv6Echo{Identifier: 7, SeqNumber: 9}, payload)
}

func TestReply(t *testing.T) {
	silent4, silent6 := netip.MustParseAddr("198.51.100.82"), netip.MustParseAddr("2001:db8:1::82")
	link := Link{Index: 2, Name: "eth0", MAC: ourMAC}
	a := answerer{link: link, addrs: []netip.Addr{vip4, vip6, silent4, silent6}, echoing: []netip.Addr{vip4, vip6}}
	peer4, other4 := netip.MustParseAddr("198.51.100.101"), netip.MustParseAddr("198.51.100.81")
	from := Link{Index: 2, Name: "eth0", MAC: otherMAC}
	request := func(sender, target netip.Addr) []byte {
		return from.frame(broadcast, wire.EtherTypeARP, arp{arpRequest, otherMAC, sender, wire.MAC{}, target}.bytes())
	}
	arpAnswer := func(to netip.Addr) []byte {
		return link.frame(otherMAC, wire.EtherTypeARP, arp{arpReply, ourMAC, vip4, otherMAC, to}.bytes())
	}
	solicit := func(n nd) []byte {
		return from.frame(groupMAC(solicitedNode(n.target)), wire.EtherTypeIPv6, n.bytes())
	}
	advert := func(to wire.MAC, dst netip.Addr, flags uint8) []byte {
		return link.frame(to, wire.EtherTypeIPv6, nd{src: vip6, dst: dst, kind: ndAdvertisement, flags: flags, target: vip6, mac: ourMAC}.bytes())
	}
	all := netip.IPv6LinkLocalAllNodes()
	damaged := func(frame []byte) []byte {
		frame = bytes.Clone(frame)
		frame[len(frame)-1] ^= 1
		return frame
	}
	fragment := echo(t, otherMAC, ourMAC, peer4, vip4, false)
	ip := wire.IPv4(fragment[wire.EthernetLen:])
	ip.SetFragment(wire.IPv4MoreFragments, 0)
	ip.SetChecksum(0)
	ip.SetChecksum(wire.Checksum(ip[:wire.IPv4Len]))

	for _, tc := range []struct {
		name        string
		frame, want []byte
	}{
		{"ping to one for routing", echo(t, otherMAC, ourMAC, peer4, silent4, false), nil},
		{"ping over IPv6 to one for routing", echo(t, otherMAC, ourMAC, peer6, silent6, false), nil},
		{"ARP request for one for routing", request(peer4, silent4), link.frame(otherMAC, wire.EtherTypeARP, arp{arpReply, ourMAC, silent4, otherMAC, peer4}.bytes())},
		{"ARP request", request(peer4, vip4), arpAnswer(peer4)},
		{"ARP probe", request(netip.IPv4Unspecified(), vip4), arpAnswer(netip.IPv4Unspecified())},
		{"ARP request for another", request(peer4, other4), nil},
		{"ARP announcement of somebody else", request(vip4, vip4), nil},
		{"ARP reply", from.frame(ourMAC, wire.EtherTypeARP, arp{arpReply, otherMAC, peer4, ourMAC, vip4}.bytes()), nil},
		{"our own request", link.frame(broadcast, wire.EtherTypeARP, arpProbe(ourMAC, vip4).bytes()), nil},
		{
			"solicitation", solicit(nd{src: peer6, dst: solicitedNode(vip6), kind: ndSolicitation, target: vip6, mac: otherMAC}),
			advert(otherMAC, peer6, ndSolicited|ndOverride),
		},
		{"IPv6 probe", solicit(ndProbe(vip6, newNonce())), advert(groupMAC(all), all, ndOverride)},
		{"solicitation for another", solicit(nd{src: peer6, dst: solicitedNode(peer6), kind: ndSolicitation, target: peer6, mac: otherMAC}), nil},
		{"echo", echo(t, otherMAC, ourMAC, peer4, vip4, false), echo(t, ourMAC, otherMAC, vip4, peer4, true)},
		{"IPv6 echo", echo(t, otherMAC, ourMAC, peer6, vip6, false), echo(t, ourMAC, otherMAC, vip6, peer6, true)},
		{"echo to another", echo(t, otherMAC, ourMAC, peer4, other4, false), nil},
		{"echo to another host", echo(t, otherMAC, wire.MAC{2, 0, 0, 0, 0, 3}, peer4, vip4, false), nil},
		{"broadcast echo", echo(t, otherMAC, broadcast, peer4, vip4, false), nil},
		{"echo reply", echo(t, otherMAC, ourMAC, peer4, vip4, true), nil},
		{"damaged echo", damaged(echo(t, otherMAC, ourMAC, peer4, vip4, false)), nil},
		{"damaged IPv6 echo", damaged(echo(t, otherMAC, ourMAC, peer6, vip6, false)), nil},
		{"fragment of an echo", fragment, nil},
		{"runt", []byte{1, 2, 3}, nil},
	} {
		if got := a.reply(tc.frame); !bytes.Equal(got, tc.want) {
			t.Errorf("%s:\ngot  % x\nwant % x", tc.name, got, tc.want)
		}
	}
}

// FuzzReply: whatever comes, an answer goes back to where the frame came from, from us.
func FuzzReply(f *testing.F) {
	f.Add([]byte{})
	link := Link{Index: 2, Name: "eth0", MAC: ourMAC}
	f.Add(link.frame(broadcast, wire.EtherTypeARP, arpProbe(otherMAC, vip4).bytes()))
	f.Add(link.frame(groupMAC(solicitedNode(vip6)), wire.EtherTypeIPv6, ndProbe(vip6, nonce{1}).bytes()))
	a := answerer{link: link, addrs: []netip.Addr{vip4, vip6}}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := a.reply(frame)
		if r == nil {
			return
		}
		if wire.Ethernet(r).Source() != ourMAC || len(r) > len(frame)+wire.IPv6Len+8 {
			t.Errorf("%x is answered with %x", frame, r)
		}
	})
}
