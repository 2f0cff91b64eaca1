//go:build netns

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/mdlayher/packet"

	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
	"uvs/internal/netlab/labtest"
)

// TestVLANTags: a request in a VLAN that has no device on the director is served, and its
// answer leaves in the same VLAN; by direct routing on one Ethernet the request itself does.
// A tag that carries only a priority is none.
func TestVLANTags(t *testing.T) {
	const inVLAN = "udp and vlan 7"
	nat, dr := modes()[0], modes()[1]
	t.Run(nat.name, func(t *testing.T) {
		top := nat.site(t, netlab.Plan{Servers: 1, NoVIP: true})
		for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			echoUDP(t, top.Servers[0], nat, vip)
		}
		d := startDirector(t, top.Directors[0], nat.udpConfig(top))
		client := top.Clients[0]
		for i, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			answers := labtest.Capture(t, client, "eth0", inVLAN)
			inject(t, client, top.Directors[0], vip, uint16(42000+i), 7)
			waitPacket(t, answers, vip, uint16(42000+i), 7)

			answers = labtest.Capture(t, client, "eth0", "udp")
			inject(t, client, top.Directors[0], vip, uint16(42100+i), 0)
			waitPacket(t, answers, vip, uint16(42100+i), 0)
		}
		d.stop()
	})
	t.Run(dr.name, func(t *testing.T) {
		top := dr.site(t, netlab.Plan{Servers: 1, NoVIP: true})
		startDirector(t, top.Directors[0], dr.udpConfig(top))
		for i, vip := range []netip.Addr{top.VIP4, top.VIP6} {
			requests := labtest.Capture(t, top.Servers[0], "eth0", inVLAN)
			inject(t, top.Clients[0], top.Directors[0], vip, uint16(42000+i), 7)
			waitPacket(t, requests, top.Clients[0].Addrs("eth0")[i].Addr(), 80, 7)
		}
	})
}

// inject sends a datagram to port 80 of an address in a frame with a tag.
func inject(t *testing.T, from, director *netlab.Host, vip netip.Addr, port, vlan uint16) {
	t.Helper()
	src, err := from.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	dst, err := director.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	eth := &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: layers.EthernetTypeDot1Q}
	tag := &layers.Dot1Q{Priority: 5, VLANIdentifier: vlan, Type: layers.EthernetTypeIPv4}
	udp := &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 80}
	var ip gopacket.SerializableLayer
	if vip.Is4() {
		h := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.Addr4("eth0").AsSlice(), DstIP: vip.AsSlice()}
		udp.SetNetworkLayerForChecksum(h) //nolint:errcheck // IPv4 is known to it
		ip = h
	} else {
		tag.Type = layers.EthernetTypeIPv6
		h := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.Addr6("eth0").AsSlice(), DstIP: vip.AsSlice()}
		udp.SetNetworkLayerForChecksum(h) //nolint:errcheck // IPv6 is known to it
		ip = h
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, eth, tag, ip, udp, gopacket.Payload("hello")); err != nil {
		t.Fatal(err)
	}
	if err := from.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c, err := packet.Listen(ifi, packet.Raw, 0, nil)
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // the frame is out
		_, err = c.WriteTo(buf.Bytes(), &packet.Addr{HardwareAddr: dst})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// waitPacket waits for a packet that was received: from an address, to or from a port of the
// client's choice, in a VLAN, 0 for none.
func waitPacket(t *testing.T, c *capture.Capture, from netip.Addr, port, vlan uint16) {
	t.Helper()
	labtest.Eventually(t, labtest.Hang, func() error {
		packets, err := c.Packets()
		if err != nil {
			return err
		}
		for _, p := range packets {
			udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
			if !ok || uint16(udp.DstPort) != port {
				continue
			}
			var id uint16
			if tag, ok := p.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q); ok {
				id = tag.VLANIdentifier
			}
			if src, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw()); src == from && id == vlan {
				return nil
			}
		}
		return fmt.Errorf("of %d packets none is from %s to port %d with VLAN %d: %v", len(packets), from, port, vlan, packets)
	})
}
