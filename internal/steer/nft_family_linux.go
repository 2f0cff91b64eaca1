package steer

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// An ipFamily is what differs between the rules for IPv4 and IPv6.
type ipFamily struct {
	suffix         string // of the names of its sets
	addrType       nftables.SetDatatype
	addrLen        uint32 // in bytes
	srcOff, dstOff uint32 // of the addresses in the IP header
	paths          []path // a packet takes the first that is for it
}

// A path is one way through the headers of a packet to its ports.
type path struct {
	name, chain string
	when        [][]expr.Any // each of them leads here
	guards      []guard
	loadPort    func(offset, reg uint32) expr.Any // the offset is that in the transport header
	loadProto   func(reg uint32) expr.Any
}

// A guard recognises packets that are not looked at any further.
type guard struct {
	comment string
	when    []expr.Any
}

// families returns IPv4 and IPv6.
func families() []ipFamily {
	return []ipFamily{
		{
			suffix: "4", addrType: nftables.TypeIPAddr, addrLen: 4, srcOff: ipv4SrcOff, dstOff: ipv4DstOff,
			paths: []path{pathIPv4()},
		},
		{
			suffix: "6", addrType: nftables.TypeIP6Addr, addrLen: 16, srcOff: ipv6SrcOff, dstOff: ipv6DstOff,
			paths: []path{pathIPv6(), pathIPv6Extensions()},
		},
	}
}

// pathIPv4 is the path of IPv4 packets. The kernel finds their ports behind options.
func pathIPv4() path {
	return path{
		name: "IPv4", chain: chainCommon + "4",
		when: [][]expr.Any{isProtocol(etherTypeIPv4)},
		guards: []guard{{"later fragment", []expr.Any{
			load(expr.PayloadBaseNetworkHeader, ipv4FragOff, 2, unix.NFT_REG_1),
			mask(ipv4FragMask), compare(expr.CmpOpNeq, wire(0)),
		}}},
		loadPort: func(offset, reg uint32) expr.Any {
			return load(expr.PayloadBaseTransportHeader, offset, 2, reg)
		},
		loadProto: func(reg uint32) expr.Any { return loadMeta(expr.MetaKeyL4PROTO, reg) },
	}
}

// pathIPv6 is the path of IPv6 packets without extension headers. It takes everything
// from fixed places, because the kernel's walk over the headers (ipv6_find_hdr) reads the
// first next-header field from the linear part even when the header is not there.
func pathIPv6() path {
	next := func(proto byte) []expr.Any {
		return append(isProtocol(etherTypeIPv6),
			load(expr.PayloadBaseNetworkHeader, ipv6NextOff, 1, unix.NFT_REG_1),
			compare(expr.CmpOpEq, []byte{proto}))
	}
	return path{
		name: "IPv6", chain: chainCommon + "6",
		when: [][]expr.Any{next(protoTCP), next(protoUDP), next(protoSCTP)},
		loadPort: func(offset, reg uint32) expr.Any {
			return load(expr.PayloadBaseNetworkHeader, ipv6HeaderLen+offset, 2, reg)
		},
		loadProto: func(reg uint32) expr.Any {
			return load(expr.PayloadBaseNetworkHeader, ipv6NextOff, 1, reg)
		},
	}
}

// pathIPv6Extensions is the path of all other IPv6 packets. One guard is for the header
// that the walk of some kernels skips and ours does not.
func pathIPv6Extensions() path {
	p := pathIPv4()
	p.name, p.chain = "IPv6 with extension headers", chainCommon+"6_ext"
	p.when = [][]expr.Any{isProtocol(etherTypeIPv6)}
	p.guards = []guard{
		{"later fragment", []expr.Any{
			&expr.Exthdr{
				DestRegister: unix.NFT_REG_1, Op: expr.ExthdrOpIpv6,
				Type: nextFragment, Offset: ipv6FragOff, Len: 2,
			},
			mask(ipv6FragMask), compare(expr.CmpOpNeq, wire(0)),
		}},
		{"authentication header", []expr.Any{
			&expr.Exthdr{
				DestRegister: unix.NFT_REG_1, Op: expr.ExthdrOpIpv6,
				Type: nextAuth, Len: 1, Flags: unix.NFT_EXTHDR_F_PRESENT,
			},
			compare(expr.CmpOpEq, []byte{1}),
		}},
	}
	return p
}

// pattern is the rule for packets that fit a pattern.
func (p path) pattern(f ipFamily, x Pattern) []expr.Any {
	var rule []expr.Any
	if x.Link != 0 {
		rule = append(rule, loadMeta(expr.MetaKeyIIF, unix.NFT_REG_1),
			compare(expr.CmpOpEq, binary.NativeEndian.AppendUint32(nil, uint32(x.Link))))
	}
	rule = append(rule, p.loadProto(unix.NFT_REG_1), compare(expr.CmpOpEq, []byte{x.Proto}))
	// Also for all ports: a packet without one ends the rule here.
	rule = append(rule, p.loadPort(dstPort, unix.NFT_REG_1),
		compare(expr.CmpOpGte, wire(x.First)), compare(expr.CmpOpLte, wire(x.Last)))
	rule = append(rule, f.inPrefix(f.dstOff, x.Destination)...)
	if x.Source.IsValid() {
		rule = append(rule, f.inPrefix(f.srcOff, x.Source)...)
	}
	if x.Take {
		return append(rule, drop())
	}
	return append(rule, &expr.Verdict{Kind: expr.VerdictReturn})
}

// inPrefix ends the rule unless an address of the IP header is in a prefix.
func (f ipFamily) inPrefix(offset uint32, prefix netip.Prefix) []expr.Any {
	mask := make([]byte, f.addrLen)
	for i := range prefix.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		f.loadAddr(offset),
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: f.addrLen, Mask: mask, Xor: make([]byte, f.addrLen)},
		compare(expr.CmpOpEq, prefix.Addr().AsSlice()),
	}
}

// has reports whether an address is of the family.
func (f ipFamily) has(a netip.Addr) bool { return a.BitLen() == int(f.addrLen)*8 }

// loadAddr reads an address of the IP header into the first register.
func (f ipFamily) loadAddr(offset uint32) expr.Any {
	return load(expr.PayloadBaseNetworkHeader, offset, f.addrLen, unix.NFT_REG_1)
}

// isProtocol ends the rule unless the frame carries a network protocol.
func isProtocol(etherType uint16) []expr.Any {
	return []expr.Any{
		loadMeta(expr.MetaKeyPROTOCOL, unix.NFT_REG_1),
		compare(expr.CmpOpEq, wire(etherType)),
	}
}

// load reads bytes of a header into a register.
func load(base expr.PayloadBase, offset, n, reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: base, Offset: offset, Len: n}
}

// loadMeta reads what the kernel knows about a frame into a register.
func loadMeta(key expr.MetaKey, reg uint32) expr.Any {
	return &expr.Meta{Key: key, Register: reg}
}

// mask keeps some bits of the two bytes in the first register.
func mask(bits uint16) expr.Any {
	return &expr.Bitwise{
		SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1,
		Len: 2, Mask: wire(bits), Xor: wire(0),
	}
}

// compare ends the rule unless the first register compares so.
func compare(op expr.CmpOp, data []byte) expr.Any {
	return &expr.Cmp{Op: op, Register: unix.NFT_REG_1, Data: data}
}

// lookupIn ends the rule unless the set has what begins at the first register.
func lookupIn(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: s.Name, SetID: s.ID}
}

// goTo continues in a chain for good.
func goTo(c *nftables.Chain) expr.Any {
	return &expr.Verdict{Kind: expr.VerdictGoto, Chain: c.Name}
}

// accept leaves a frame to whoever comes next: it ends the base chain, not the hook.
func accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }

// drop keeps a frame from the stack.
func drop() expr.Any { return &expr.Verdict{Kind: expr.VerdictDrop} }

// wire returns a number in network order.
func wire(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
