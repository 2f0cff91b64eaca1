package steer

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf/asm"
)

// Verdicts of a program; linux/bpf.h, enum tcx_action_base, and of the same value
// TC_ACT_UNSPEC and TC_ACT_SHOT of linux/pkt_cls.h.
const (
	tcxNext = -1 // go on with the next program, or with the stack
	tcxDrop = 2
)

// Fields of the program's context; linux/bpf.h, struct __sk_buff.
const (
	skbPktType     = 4 // 0 is PACKET_HOST
	skbProtocol    = 16
	skbVLANPresent = 20
	skbIfindex     = 40
)

// A mapKey is a match in the program's maps: the address as 16 bytes with IPv4
// mapped into IPv6 (0–16), the port in network order (16–18), the protocol (18) and
// a mark, which is zero for a match.
type mapKey [20]byte

// A mapAddr is an address in the program's maps, IPv4 mapped into IPv6.
type mapAddr [16]byte

// key returns the match as the program looks it up.
func (m Match) key() mapKey {
	var k mapKey
	a := m.Addr.As16()
	copy(k[:], a[:])
	binary.BigEndian.PutUint16(k[keyPort:], m.Port)
	k[keyProto] = m.Proto
	return k
}

// Offsets in a mapKey.
const (
	keyPort  = 16
	keyProto = 18
	keyMark  = 19
)

// markFTP marks an address with the data ports of FTP, in the place of a port.
const markFTP = 1

// ftpKey returns the key of such an address.
func ftpKey(a netip.Addr) mapKey {
	k := Match{Addr: a, Proto: protoTCP}.key()
	k[keyMark] = markFTP
	return k
}

// The program's stack, as offsets from the frame pointer.
const (
	stackHeader = -40             // 40 bytes: the IPv6 header, or the addresses of IPv4 in the same places
	stackKey    = -64             // 20 bytes: the mapKey that is looked up
	stackExt    = -72             // 8 bytes: an extension header, later the two ports
	stackSrc    = stackHeader + 8 // 16 bytes each
	stackDst    = stackHeader + 24
)

// Registers that keep their value across calls of helpers.
const (
	regCtx   = asm.R6
	regL4    = asm.R7 // offset of the next header in the frame
	regProto = asm.R8 // what that header is
)

// Labels of the program.
const (
	labelIPv4   = "ipv4" // behind the check of its header's length
	labelIPv6   = "ipv6"
	labelL4     = "l4"
	labelPorts  = "ports"
	labelData   = "data"
	labelNoData = "nodata"
	labelReturn = "return"
	labelPass   = "pass"
	labelDrop   = "drop"
)

// lookups are the file descriptors of the maps that the program asks. A map
// without entries is left out, marked by a descriptor below zero.
type lookups struct {
	services, servers, locals     int
	anyServicePort, anyServerPort bool // some entry has port 0
	ftp                           bool // some service is an address with FTP's data ports
	patterns                      []Pattern
}

// program returns the steering program: Rules.Drops in the kernel's instructions, of
// which it uses none that is younger than Linux 4.5. There must be a map of services or
// of servers, or patterns, else its end cannot be reached, which the verifier refuses. The frames are
// Ethernet frames. It reads headers with bpf_skb_load_bytes and not
// through packet pointers, because drivers and packet sockets hand up frames whose
// headers lie outside the linear part.
func program(l lookups) asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(regCtx, asm.R1),
		asm.LoadMem(asm.R0, regCtx, skbPktType, asm.Word),
		asm.JNE.Imm(asm.R0, 0, labelPass),
		asm.LoadMem(asm.R0, regCtx, skbVLANPresent, asm.Word),
		asm.JNE.Imm(asm.R0, 0, labelPass),
		asm.LoadMem(asm.R0, regCtx, skbProtocol, asm.Word),
		asm.JEq.Imm(asm.R0, int32(wire16(etherTypeIPv6)), labelIPv6),
		asm.JNE.Imm(asm.R0, int32(wire16(etherTypeIPv4)), labelPass),
	}
	p = append(p, decodeIPv4()...)
	p = append(p, decodeIPv6()...)
	p = append(p, loadPorts()...)
	p = append(p, matchServices(l)...)
	p = append(p, matchPatterns(l.patterns)...)
	p = append(p, matchServers(l)...)
	return append(p,
		asm.Mov.Imm(asm.R0, tcxNext).WithSymbol(labelPass),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcxDrop).WithSymbol(labelDrop),
		asm.Return(),
	)
}

// decodeIPv4 leaves the mapped addresses in stackSrc and stackDst, and the payload in
// regL4 and regProto.
func decodeIPv4() asm.Instructions {
	p := asm.Instructions{asm.Mov.Imm(asm.R2, etherHeaderLen)}
	p = append(p, loadBytes(stackHeader, ipv4HeaderLen)...)
	return append(p,
		asm.LoadMem(asm.R1, asm.RFP, stackHeader, asm.Byte),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.RSh.Imm(asm.R2, 4),
		asm.JNE.Imm(asm.R2, 4, labelPass),
		asm.And.Imm(asm.R1, 15),
		asm.LSh.Imm(asm.R1, 2),
		asm.JGE.Imm(asm.R1, ipv4HeaderLen, labelIPv4),
		asm.Ja.Label(labelPass),
		asm.Mov.Reg(regL4, asm.R1).WithSymbol(labelIPv4),
		asm.Add.Imm(regL4, etherHeaderLen),

		asm.LoadMem(asm.R1, asm.RFP, stackHeader+ipv4FragOff, asm.Half),
		asm.JSet.Imm(asm.R1, int32(wire16(ipv4FragMask)), labelPass),
		asm.LoadMem(regProto, asm.RFP, stackHeader+ipv4ProtoOff, asm.Byte),

		// ::ffff:a.b.c.d, over the header that is read into registers first.
		asm.LoadMem(asm.R1, asm.RFP, stackHeader+ipv4SrcOff, asm.Word),
		asm.LoadMem(asm.R2, asm.RFP, stackHeader+ipv4DstOff, asm.Word),
		asm.Mov.Imm(asm.R3, 0),
		asm.StoreMem(asm.RFP, stackSrc, asm.R3, asm.DWord),
		asm.StoreImm(asm.RFP, stackSrc+8, mappedPrefix(), asm.Word),
		asm.StoreMem(asm.RFP, stackSrc+12, asm.R1, asm.Word),
		asm.StoreMem(asm.RFP, stackDst, asm.R3, asm.DWord),
		asm.StoreImm(asm.RFP, stackDst+8, mappedPrefix(), asm.Word),
		asm.StoreMem(asm.RFP, stackDst+12, asm.R2, asm.Word),
		asm.Ja.Label(labelL4),
	)
}

// decodeIPv6 does for IPv6 what decodeIPv4 does. The walk is unrolled, as kernels
// without bounded loops would have it.
func decodeIPv6() asm.Instructions {
	p := asm.Instructions{asm.Mov.Imm(asm.R2, etherHeaderLen).WithSymbol(labelIPv6)}
	p = append(p, loadBytes(stackHeader, ipv6HeaderLen)...)
	p = append(p,
		asm.LoadMem(asm.R1, asm.RFP, stackHeader, asm.Byte),
		asm.RSh.Imm(asm.R1, 4),
		asm.JNE.Imm(asm.R1, 6, labelPass),
		asm.LoadMem(regProto, asm.RFP, stackHeader+ipv6NextOff, asm.Byte),
		asm.Mov.Imm(regL4, etherHeaderLen+ipv6HeaderLen),
	)
	for i := range maxExtHeaders {
		p = append(p, skipExtHeader(i)...)
	}
	return p
}

// skipExtHeader moves regL4 and regProto behind the i-th extension header, or goes
// to labelL4 when there is none.
func skipExtHeader(i int) asm.Instructions {
	var (
		load     = fmt.Sprintf("ext%d", i)
		fragment = fmt.Sprintf("fragment%d", i)
		done     = fmt.Sprintf("done%d", i)
	)
	p := asm.Instructions{
		asm.JEq.Imm(regProto, nextHopByHop, load),
		asm.JEq.Imm(regProto, nextRouting, load),
		asm.JEq.Imm(regProto, nextDestOpts, load),
		asm.JNE.Imm(regProto, nextFragment, labelL4),
		asm.Mov.Reg(asm.R2, regL4).WithSymbol(load),
	}
	p = append(p, loadBytes(stackExt, extHeaderMinLen)...)
	return append(p,
		asm.JEq.Imm(regProto, nextFragment, fragment),
		asm.LoadMem(asm.R1, asm.RFP, stackExt+1, asm.Byte),
		asm.LSh.Imm(asm.R1, 3), // in units of 8 bytes, not counting the first
		asm.Add.Reg(regL4, asm.R1),
		asm.Ja.Label(done),
		asm.LoadMem(asm.R1, asm.RFP, stackExt+ipv6FragOff, asm.Half).WithSymbol(fragment),
		asm.JSet.Imm(asm.R1, int32(wire16(ipv6FragMask)), labelPass),
		asm.Add.Imm(regL4, extHeaderMinLen).WithSymbol(done),
		asm.LoadMem(regProto, asm.RFP, stackExt, asm.Byte),
	)
}

// loadPorts lets TCP, UDP and SCTP go on and reads their ports.
func loadPorts() asm.Instructions {
	p := asm.Instructions{
		asm.JEq.Imm(regProto, protoTCP, labelPorts).WithSymbol(labelL4),
		asm.JEq.Imm(regProto, protoUDP, labelPorts),
		asm.JNE.Imm(regProto, protoSCTP, labelPass),
		asm.Mov.Reg(asm.R2, regL4).WithSymbol(labelPorts),
	}
	p = append(p, loadBytes(stackExt, portsLen)...)
	return append(p,
		asm.StoreMem(asm.RFP, stackKey+keyProto, regProto, asm.Byte),
		asm.StoreImm(asm.RFP, stackKey+keyMark, 0, asm.Byte),
	)
}

// matchServices drops what goes to a service.
func matchServices(l lookups) asm.Instructions {
	if l.services < 0 {
		return nil
	}
	p := setKey(stackDst, stackExt+2)
	p = append(p, lookup(l.services, stackKey)...)
	p = append(p, asm.JNE.Imm(asm.R0, 0, labelDrop))
	if l.anyServicePort {
		p = append(p, asm.StoreImm(asm.RFP, stackKey+keyPort, 0, asm.Half))
		p = append(p, lookup(l.services, stackKey)...)
		p = append(p, asm.JNE.Imm(asm.R0, 0, labelDrop))
	}
	if l.ftp {
		p = append(p, matchData(l)...)
	}
	return p
}

// matchData drops what goes to a port of FTP's data connections of an address that has such a
// mark among the services.
func matchData(l lookups) asm.Instructions {
	p := asm.Instructions{
		asm.JNE.Imm(regProto, protoTCP, labelNoData),
		asm.LoadMem(asm.R1, asm.RFP, stackExt+2, asm.Byte),
		asm.JGE.Imm(asm.R1, leastDataPort>>8, labelData),
		asm.JNE.Imm(asm.R1, 0, labelNoData),
		asm.LoadMem(asm.R1, asm.RFP, stackExt+3, asm.Byte),
		asm.JNE.Imm(asm.R1, ftpDataPort, labelNoData),
		asm.StoreImm(asm.RFP, stackKey+keyPort, 0, asm.Half).WithSymbol(labelData),
		asm.StoreImm(asm.RFP, stackKey+keyMark, markFTP, asm.Byte),
	}
	p = append(p, lookup(l.services, stackKey)...)
	return append(p,
		asm.JNE.Imm(asm.R0, 0, labelDrop),
		asm.StoreImm(asm.RFP, stackKey+keyMark, 0, asm.Byte).WithSymbol(labelNoData),
	)
}

// matchPatterns drops what the first pattern that fits takes. All comparisons are unrolled.
func matchPatterns(list []Pattern) asm.Instructions {
	if len(list) == 0 {
		return nil
	}
	const end = "patterned"
	var p asm.Instructions
	for i, x := range list {
		next := fmt.Sprintf("pattern%d", i+1)
		p = append(p, asm.Mov.Imm(asm.R0, 0).WithSymbol(fmt.Sprintf("pattern%d", i)))
		if x.Link != 0 {
			p = append(p, asm.LoadMem(asm.R0, regCtx, skbIfindex, asm.Word), asm.JNE.Imm(asm.R0, int32(x.Link), next))
		}
		p = append(p, asm.JNE.Imm(regProto, int32(x.Proto), next))
		if x.First > 0 || x.Last < 0xffff {
			first := fmt.Sprintf("first%d", i)
			p = append(p,
				asm.LoadMem(asm.R1, asm.RFP, stackExt+2, asm.Half),
				asm.HostTo(asm.BE, asm.R1, asm.Half),
				asm.JGE.Imm(asm.R1, int32(x.First), first),
				asm.Ja.Label(next),
				asm.JGT.Imm(asm.R1, int32(x.Last), next).WithSymbol(first),
			)
		}
		p = append(p, inPrefix(stackDst, x.Destination, next)...)
		if x.Source.IsValid() {
			p = append(p, inPrefix(stackSrc, x.Source, next)...)
		}
		if x.Take {
			p = append(p, asm.Ja.Label(labelDrop))
		} else {
			p = append(p, asm.Ja.Label(end))
		}
	}
	return append(p,
		asm.Mov.Imm(asm.R0, 0).WithSymbol(fmt.Sprintf("pattern%d", len(list))),
		asm.Mov.Imm(asm.R0, 0).WithSymbol(end),
	)
}

// inPrefix goes elsewhere unless an address of the stack is in a prefix.
func inPrefix(addr int16, prefix netip.Prefix, elsewhere string) (p asm.Instructions) {
	value, bits := prefix.Addr().As16(), prefix.Bits()
	if prefix.Addr().Is4() {
		bits += 96
	}
	var mask [16]byte
	for i := range bits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	for _, half := range []int{8, 0} { // the end of an address tells more than its beginning
		m := binary.NativeEndian.Uint64(mask[half:])
		if m == 0 {
			continue
		}
		p = append(p,
			asm.LoadMem(asm.R1, asm.RFP, addr+int16(half), asm.DWord),
			asm.LoadImm(asm.R2, int64(m), asm.DWord),
			asm.And.Reg(asm.R1, asm.R2),
			asm.LoadImm(asm.R2, int64(binary.NativeEndian.Uint64(value[half:])), asm.DWord),
			asm.JNE.Reg(asm.R1, asm.R2, elsewhere),
		)
	}
	return p
}

// matchServers drops what comes from a server and does not go to this host.
func matchServers(l lookups) asm.Instructions {
	if l.servers < 0 {
		return nil
	}
	p := setKey(stackSrc, stackExt)
	p = append(p, lookup(l.servers, stackKey)...)
	if l.anyServerPort {
		p = append(p,
			asm.JNE.Imm(asm.R0, 0, labelReturn),
			asm.StoreImm(asm.RFP, stackKey+keyPort, 0, asm.Half))
		p = append(p, lookup(l.servers, stackKey)...)
	}
	p = append(p, asm.JEq.Imm(asm.R0, 0, labelPass))
	if l.locals < 0 {
		return append(p, asm.Ja.Label(labelDrop).WithSymbol(labelReturn))
	}
	local := lookup(l.locals, stackDst)
	local[0] = local[0].WithSymbol(labelReturn)
	p = append(p, local...)
	return append(p, asm.JEq.Imm(asm.R0, 0, labelDrop))
}

// setKey puts an address and a port of the stack into the key. The protocol is
// there already.
func setKey(addr, port int16) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, addr, asm.DWord),
		asm.StoreMem(asm.RFP, stackKey, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.RFP, addr+8, asm.DWord),
		asm.StoreMem(asm.RFP, stackKey+8, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.RFP, port, asm.Half),
		asm.StoreMem(asm.RFP, stackKey+keyPort, asm.R1, asm.Half),
	}
}

// lookup leaves zero in R0 when the map lacks the key at the given place of the stack.
func lookup(fd int, key int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, fd),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
	}
}

// loadBytes copies n bytes of the frame from the offset in R2 to the stack, and
// leaves the program when the frame is too short.
func loadBytes(to, n int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, regCtx),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, to),
		asm.Mov.Imm(asm.R4, n),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, labelPass),
	}
}

// wire16 returns the number that a load of these two bytes in network order yields
// on this machine.
func wire16(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// mappedPrefix returns bytes 8 to 12 of an IPv4-mapped address as wire16 does, in
// the signed form of an immediate.
func mappedPrefix() int64 {
	return int64(int32(binary.NativeEndian.Uint32([]byte{0, 0, 0xff, 0xff})))
}
