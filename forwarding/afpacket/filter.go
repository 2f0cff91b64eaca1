package afpacket

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"

	"uvs/internal/wire"
)

const (
	acceptAll     = 0x40000 // longer than any frame
	packetHost    = 0       // PACKET_HOST of include/uapi/linux/if_packet.h
	ethertypeAt   = 12
	maxHashVIPs   = 300 // per family; a classic program holds 4096 instructions
	v4Source      = 12
	v4Destination = 16
	v6Source      = 8
	v6Destination = 24
)

// dropAll is the filter while a socket is being set up: frames from before the ring is
// complete would lack their virtio_net_hdr.
func dropAll() []bpf.Instruction { return []bpf.Instruction{bpf.RetConstant{Val: 0}} }

// acceptHostIP accepts IPv4 and IPv6 frames that are addressed to this host. Offsets count
// from the Ethernet header.
func acceptHostIP() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: packetHost, SkipTrue: 4},
		bpf.LoadAbsolute{Off: ethertypeAt, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.EtherTypeIPv4, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.EtherTypeIPv6, SkipTrue: 1},
		bpf.RetConstant{Val: acceptAll},
		bpf.RetConstant{Val: 0},
	}
}

// clientHash is the fanout program: it hashes the client's address and port, so that both
// directions of a flow meet the same worker. The client is the source of a packet to a VIP
// and the destination of any other. Offsets count from the IP header. VIPs beyond
// maxHashVIPs are not told apart; such flows merely cross workers.
func clientHash(vips []netip.Addr) []bpf.Instruction {
	var v4, v6 [][]byte
	for _, a := range vips {
		if a.Is4() && len(v4) < maxHashVIPs {
			v4 = append(v4, a.AsSlice())
		} else if a.Is6() && len(v6) < maxHashVIPs {
			v6 = append(v6, a.AsSlice())
		}
	}
	p := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
	}
	v6Part := hashV6(v6)
	// Long programs need a long jump: a conditional one reaches 255 instructions.
	v4Part := hashV4(v4)
	p = append(p,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipFalse: 1},
		bpf.Jump{Skip: uint32(len(v4Part))},
	)
	p = append(p, v4Part...)
	return append(p, v6Part...)
}

// hashV4 is the IPv4 part: the VIP comparison, then a hash of either end.
func hashV4(vips [][]byte) []bpf.Instruction {
	ends := func(addr uint32, port uint32) []bpf.Instruction {
		return []bpf.Instruction{
			bpf.LoadMemShift{Off: 0},
			bpf.LoadIndirect{Off: port, Size: 2},
			bpf.StoreScratch{Src: bpf.RegA, N: 0},
			bpf.LoadAbsolute{Off: addr, Size: 4},
			bpf.LoadScratch{Dst: bpf.RegX, N: 0},
			bpf.ALUOpX{Op: bpf.ALUOpAdd},
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: 0x9e3779b1},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
			bpf.RetA{},
		}
	}
	other, client := ends(v4Destination, 2), ends(v4Source, 0)
	p := []bpf.Instruction{bpf.LoadAbsolute{Off: v4Destination, Size: 4}}
	for i, a := range vips {
		after := 2*(len(vips)-1-i) + 1 + len(other)
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(a), SkipTrue: 1},
			bpf.Jump{Skip: uint32(after - 1)})
	}
	p = append(p, other...)
	return append(p, client...)
}

// hashV6 is the IPv6 part. It hashes the addresses only up to the transport header of
// packets without extension headers, which is where ports stand.
func hashV6(vips [][]byte) []bpf.Instruction {
	ends := func(addr uint32, port uint32) []bpf.Instruction {
		p := []bpf.Instruction{
			bpf.LoadAbsolute{Off: wire.IPv6Len + port, Size: 2},
			bpf.TAX{},
		}
		for off := uint32(0); off < 16; off += 4 {
			p = append(p, bpf.LoadAbsolute{Off: addr + off, Size: 4}, bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{})
		}
		return append(p,
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: 0x9e3779b1},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
			bpf.RetA{})
	}
	other, client := ends(v6Destination, 2), ends(v6Source, 0)
	var p []bpf.Instruction
	for i, a := range vips {
		after := 9*(len(vips)-1-i) + len(other)
		for w := range 4 {
			rest := 9*1 - 2*w - 2 // instructions of this comparison behind the next one
			p = append(p, bpf.LoadAbsolute{Off: uint32(v6Destination + 4*w), Size: 4},
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(a[4*w:]), SkipTrue: uint8(rest)})
		}
		p = append(p, bpf.Jump{Skip: uint32(after)})
	}
	p = append(p, other...)
	return append(p, client...)
}
