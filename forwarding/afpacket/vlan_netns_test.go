//go:build netns

package afpacket_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// TestVLANTags: a tag that a port sends arrives at another port beside the same frame, also
// with an unfinished checksum and with several segments in one frame.
func TestVLANTags(t *testing.T) {
	site := labtest.New(t)
	a, b := labtest.Host(t, site, "a"), labtest.Host(t, site, "b")
	if err := site.Connect(a, "eth0", b, "eth0"); err != nil {
		t.Fatal(err)
	}
	from, to := openPort(t, a, 0), openPort(t, b, 60)
	src, dst := macOf(t, a, "eth0"), macOf(t, b, "eth0")
	for _, tag := range []forwarding.VLANTag{{}, {TPID: 0x8100, TCI: 7}, {TPID: 0x8100, TCI: 5<<13 | 4094}, {TPID: 0x88a8, TCI: 12}} {
		for _, gso := range []bool{false, true} {
			t.Run(fmt.Sprintf("tag %04x:%04x, gso %t", tag.TPID, tag.TCI, gso), func(t *testing.T) {
				payload, vnet := 1000, forwarding.VnetHeader(nil)
				if gso {
					payload, vnet = 5000, make(forwarding.VnetHeader, forwarding.VnetLen)
					vnet[0], vnet[1] = 1, 1 // NEEDS_CSUM, GSO_TCPV4
					for i, v := range []uint16{14 + 20 + 20, 1400, 14 + 20, 16} {
						binary.NativeEndian.PutUint16(vnet[2+2*i:], v)
					}
				}
				data := tcpFrame(src, dst, payload)
				sent := bytes.Clone(data)
				if n, err := from.Send([]forwarding.Frame{{Data: data, Vnet: vnet, VLAN: tag}}); n != 1 || err != nil {
					t.Fatalf("sent %d frames: %v", n, err)
				}
				var got forwarding.Frame
				labtest.Eventually(t, labtest.Hang, func() error {
					fs := make([]forwarding.Frame, 1)
					for {
						n, err := to.Recv(fs)
						if err != nil {
							t.Fatal(err)
						}
						if n == 0 {
							return fmt.Errorf("no frame of ours came")
						}
						if mine := len(fs[0].Data) >= 14 && bytes.Equal(fs[0].Data[6:12], src) && fs[0].Data[23] == wire.ProtoTCP; mine {
							got = forwarding.Frame{Data: bytes.Clone(fs[0].Data), Vnet: bytes.Clone(fs[0].Vnet), VLAN: fs[0].VLAN}
							to.Release(fs)
							return nil
						}
						to.Release(fs)
					}
				})
				if got.VLAN != tag || !bytes.Equal(got.Data, sent) {
					t.Errorf("tag %v and %d bytes arrived, want %v and the %d bytes sent", got.VLAN, len(got.Data), tag, len(sent))
				}
				if got.Vnet.GSO() != gso || gso && got.Vnet.ChecksumAt() != 14+20+16 {
					t.Errorf("header %v arrived, want GSO %t and the checksum at 50", got.Vnet, gso)
				}
			})
		}
	}
}

// openPort opens one port on a host's eth0; with no slots it only sends.
func openPort(t *testing.T, h *netlab.Host, slots int) forwarding.Port {
	t.Helper()
	var group *afpacket.Group
	if err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c := afpacket.Config{Link: ifi.Index, MAC: wire.MAC(ifi.HardwareAddr), Workers: 1}
		if slots > 0 {
			c.Shape, c.Memory = afpacket.Shape{Receive: afpacket.TPacketV2}, 8<<20
		}
		if group, err = afpacket.Open(c); err == nil {
			err = group.Start()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Close)
	return group.Ports()[0]
}

// tcpFrame returns a frame with the pseudo header's sum as TCP checksum, as is right for one
// whose checksum is to be finished.
func tcpFrame(src, dst net.HardwareAddr, payload int) []byte {
	f := make([]byte, 14+20+20+payload)
	copy(f, dst)
	copy(f[6:], src)
	binary.BigEndian.PutUint16(f[12:], wire.EtherTypeIPv4)
	ip := wire.IPv4(f[14:34])
	ip[0], ip[8], ip[9] = 0x45, 64, wire.ProtoTCP
	binary.BigEndian.PutUint16(ip[2:], uint16(40+payload))
	copy(ip[12:], netip.MustParseAddr("192.0.2.1").AsSlice())
	copy(ip[16:], netip.MustParseAddr("192.0.2.2").AsSlice())
	ip.SetChecksum(wire.Checksum(ip))
	tcp := f[34:]
	binary.BigEndian.PutUint16(tcp[0:], 1000)
	binary.BigEndian.PutUint16(tcp[2:], 2000)
	tcp[12], tcp[13] = 5<<4, wire.TCPAck
	binary.BigEndian.PutUint16(tcp[16:], wire.PseudoHeaderSum(ip.Source(), ip.Destination(), wire.ProtoTCP, len(tcp)))
	for i := range payload {
		tcp[20+i] = byte(i)
	}
	return f
}
