package steer

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/cilium/ebpf/asm"
)

// A Doorway is what a diverting program knows of the device that it stands at.
type Doorway struct {
	MAC     [6]byte // frames to another address are left to the stack
	Longest int     // bytes of the longest frame that a socket can take, Ethernet header included
}

// Diverts reports whether a frame may go from the driver to an AF_XDP socket, past packet
// sockets and stack. It is the specification of the diverting program, kept slow and obvious.
//
// Only the plain and common case ever goes: an Ethernet frame without a tag to this host, IPv4
// without options and not a fragment or IPv6 without extension headers, TCP or UDP, to one of
// Services, or from one of Servers to an address that is not among Locals. Drops would have
// kept all of it from the stack. The other lists do not count: what they take stays where
// packet sockets see it.
//
// Diverts does not change the frame and is safe for use by many goroutines.
func (r Rules) Diverts(frame []byte, at Doorway) bool {
	if len(frame) > at.Longest || !bytes.HasPrefix(frame, at.MAC[:]) {
		return false
	}
	p, ok := parse(frame)
	if !ok || !divertible(p.proto) || !isPlain(frame[etherHeaderLen:]) {
		return false
	}
	if contains(r.Services, p.dst, p.dstPort, p.proto) {
		return true
	}
	return contains(r.Servers, p.src, p.srcPort, p.proto) && !slices.Contains(r.Locals, p.dst)
}

// divertible reports whether packets of a protocol may be diverted. SCTP is rare, and its
// checksum is nothing that a driver without metadata can be trusted with.
func divertible(proto uint8) bool { return proto == protoTCP || proto == protoUDP }

// Parts of IP headers that plain packets have.
const (
	plainIPv4       = 0x45   // version 4, a header of 20 bytes
	ipv4AnyFragment = 0x3fff // more fragments, or an offset
)

// isPlain reports whether a packet that parse could read has nothing between its IP header
// and its ports, and is whole.
func isPlain(b []byte) bool {
	if b[0]>>4 == 4 {
		return b[0] == plainIPv4 && binary.BigEndian.Uint16(b[ipv4FragOff:])&ipv4AnyFragment == 0
	}
	return divertible(b[ipv6NextOff])
}

// Verdicts of an XDP program (linux/bpf.h, enum xdp_action), and fields of its context
// (struct xdp_md).
const (
	xdpDrop = 1
	xdpPass = 2

	xdpData    = 0
	xdpDataEnd = 4
	xdpQueue   = 16
)

// divertProgram returns Rules.Diverts in the kernel's instructions. All maps of l must be
// there, and sockets is the XSKMAP of the device's queues; absent is the verdict for a frame of
// ours whose queue has no socket. Headers are read through packet pointers, whose loads are as
// aligned as those of a frame that begins two bytes off a word.
func divertProgram(l lookups, sockets int, at Doorway, absent int32) asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(regCtx, asm.R1),
		asm.LoadMem(asm.R2, regCtx, xdpData, asm.Word),
		asm.LoadMem(asm.R3, regCtx, xdpDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, int32(at.Longest)),
		asm.JGT.Reg(asm.R3, asm.R4, labelPass),
	}
	p = append(p, atLeast(etherHeaderLen+ipv4HeaderLen+portsLen)...)
	for i := range len(at.MAC) / 2 {
		p = append(p,
			asm.LoadMem(asm.R0, asm.R2, int16(2*i), asm.Half),
			asm.JNE.Imm(asm.R0, int32(binary.NativeEndian.Uint16(at.MAC[2*i:])), labelPass))
	}
	p = append(p,
		asm.LoadMem(asm.R0, asm.R2, etherTypeOff, asm.Half),
		asm.JEq.Imm(asm.R0, int32(wire16(etherTypeIPv6)), labelIPv6),
		asm.JNE.Imm(asm.R0, int32(wire16(etherTypeIPv4)), labelPass),
	)
	p = append(p, readPlainIPv4()...)
	p = append(p, readPlainIPv6()...)
	p = append(p,
		asm.JEq.Imm(regProto, protoTCP, labelPorts).WithSymbol(labelL4),
		asm.JNE.Imm(regProto, protoUDP, labelPass),
		asm.StoreMem(asm.RFP, stackKey+keyProto, regProto, asm.Byte).WithSymbol(labelPorts),
		asm.StoreImm(asm.RFP, stackKey+keyMark, 0, asm.Byte),
	)
	p = append(p, matchServices(l)...)
	p = append(p, matchServers(l)...)
	return append(p,
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol(labelPass),
		asm.Return(),
		asm.LoadMem(asm.R2, regCtx, xdpQueue, asm.Word).WithSymbol(labelDrop), // from the stack, to a socket
		asm.LoadMapPtr(asm.R1, sockets),
		asm.Mov.Imm(asm.R3, absent),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	)
}

// atLeast leaves the program when the frame at R2, which ends at R3, has less than n bytes.
func atLeast(n int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, n),
		asm.JGT.Reg(asm.R4, asm.R3, labelPass),
	}
}

// readPlainIPv4 leaves addresses, ports and protocol where decodeIPv4 and loadPorts do.
func readPlainIPv4() asm.Instructions {
	const ip = etherHeaderLen
	p := asm.Instructions{
		asm.LoadMem(asm.R0, asm.R2, ip, asm.Byte),
		asm.JNE.Imm(asm.R0, plainIPv4, labelPass),
		asm.LoadMem(asm.R0, asm.R2, ip+ipv4FragOff, asm.Half),
		asm.JSet.Imm(asm.R0, int32(wire16(ipv4AnyFragment)), labelPass),
		asm.LoadMem(regProto, asm.R2, ip+ipv4ProtoOff, asm.Byte),
		asm.Mov.Imm(asm.R4, 0),
	}
	for _, x := range []struct{ from, to int16 }{{ip + ipv4SrcOff, stackSrc}, {ip + ipv4DstOff, stackDst}} {
		p = append(p,
			asm.StoreMem(asm.RFP, x.to, asm.R4, asm.DWord),
			asm.StoreImm(asm.RFP, x.to+8, mappedPrefix(), asm.Word),
			asm.LoadMem(asm.R0, asm.R2, x.from, asm.Word),
			asm.StoreMem(asm.RFP, x.to+12, asm.R0, asm.Word))
	}
	return append(p,
		asm.LoadMem(asm.R0, asm.R2, ip+ipv4HeaderLen, asm.Word),
		asm.StoreMem(asm.RFP, stackExt, asm.R0, asm.Word),
		asm.Ja.Label(labelL4))
}

// readPlainIPv6 does for IPv6 what readPlainIPv4 does. An extension header is a protocol that
// is not diverted.
func readPlainIPv6() asm.Instructions {
	const ip = etherHeaderLen
	p := atLeast(ip + ipv6HeaderLen + portsLen)
	p[0] = p[0].WithSymbol(labelIPv6)
	p = append(p,
		asm.LoadMem(asm.R0, asm.R2, ip, asm.Byte),
		asm.RSh.Imm(asm.R0, 4),
		asm.JNE.Imm(asm.R0, 6, labelPass),
		asm.LoadMem(regProto, asm.R2, ip+ipv6NextOff, asm.Byte))
	for i := int16(0); i < 32; i += 4 { // both addresses
		p = append(p,
			asm.LoadMem(asm.R0, asm.R2, ip+ipv6SrcOff+i, asm.Word),
			asm.StoreMem(asm.RFP, stackSrc+i, asm.R0, asm.Word))
	}
	return append(p,
		asm.LoadMem(asm.R0, asm.R2, ip+ipv6HeaderLen, asm.Word),
		asm.StoreMem(asm.RFP, stackExt, asm.R0, asm.Word))
}
