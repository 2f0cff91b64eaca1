package announce

import (
	"crypto/rand"
	"net"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"

	"uvs/internal/wire"
)

// frameMax is the length of the longest frame that is looked at. Neither ARP nor
// neighbour discovery needs more.
const frameMax = 1514

// open opens a packet socket on a device which receives what may answer q. A question
// without a protocol receives nothing.
func open(link Link, q question) (net.PacketConn, error) {
	program, err := bpf.Assemble(filter(q.etherType))
	if err != nil {
		return nil, err
	}
	device := &net.Interface{Index: link.Index, Name: link.Name}
	conn, err := packet.Listen(device, packet.Raw, int(q.etherType), &packet.Config{Filter: program})
	if err != nil {
		return nil, err
	}
	for _, g := range q.groups {
		if err := conn.JoinGroup(hardwareAddr(g)); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// linkAddr returns the destination of a frame in the form that the socket wants.
func linkAddr(frame []byte) net.Addr {
	return &packet.Addr{HardwareAddr: hardwareAddr(wire.Ethernet(frame).Destination())}
}

// newNonce returns a random nonce that is not zero.
func newNonce() nonce {
	var n nonce
	_, _ = rand.Read(n[:]) // never fails
	n[0] |= 1
	return n
}

// outgoing is the packet type of frames that this host sent (PACKET_OUTGOING).
const outgoing = 4

// filter passes frames of the protocol that came from the wire without a VLAN tag: a
// tagged one belongs to another link. Of IPv6 it passes neighbour solicitations and
// advertisements only, as the rest may be the whole traffic of the host.
func filter(etherType uint16) []bpf.Instruction {
	pass, drop := bpf.RetConstant{Val: frameMax}, bpf.RetConstant{Val: 0}
	switch etherType {
	case wire.EtherTypeARP:
		return []bpf.Instruction{
			bpf.LoadExtension{Num: bpf.ExtType},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: outgoing, SkipTrue: 3},
			bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
			pass,
			drop,
		}
	case wire.EtherTypeIPv6:
		return []bpf.Instruction{
			bpf.LoadExtension{Num: bpf.ExtType},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: outgoing, SkipTrue: 8},
			bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 6},
			bpf.LoadAbsolute{Off: wire.EthernetLen + 6, Size: 1}, // next header
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.ProtoICMPv6, SkipTrue: 4},
			bpf.LoadAbsolute{Off: wire.EthernetLen + wire.IPv6Len, Size: 1}, // ICMPv6 type
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: ndSolicitation, SkipTrue: 1},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: ndAdvertisement, SkipTrue: 1},
			pass,
			drop,
		}
	}
	return []bpf.Instruction{drop}
}
