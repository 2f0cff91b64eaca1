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
	name           string
	suffix         string // of the names of its chain and sets
	etherType      uint16
	addrType       nftables.SetDatatype
	addrLen        uint32
	srcOff, dstOff uint32
	guards         func() []guard
}

// families returns IPv4 and IPv6.
func families() []ipFamily {
	return []ipFamily{
		{
			name: "IPv4", suffix: "4", etherType: etherTypeIPv4, addrType: nftables.TypeIPAddr, addrLen: 4,
			srcOff: ipv4SrcOff, dstOff: ipv4DstOff, guards: guardsIPv4,
		},
		{
			name: "IPv6", suffix: "6", etherType: etherTypeIPv6, addrType: nftables.TypeIP6Addr, addrLen: 16,
			srcOff: ipv6SrcOff, dstOff: ipv6DstOff, guards: guardsIPv6,
		},
	}
}

// A guard recognises packets that are not looked at any further.
type guard struct {
	comment string
	when    []expr.Any
}

// guardsIPv4 returns the guards of IPv4.
func guardsIPv4() []guard {
	return []guard{{"later fragment", []expr.Any{
		load(expr.PayloadBaseNetworkHeader, ipv4FragOff, 2, unix.NFT_REG_1),
		mask(ipv4FragMask), compare(expr.CmpOpNeq, wire(0)),
	}}}
}

// guardsIPv6 returns the guards of IPv6, among them one for the header that the kernel's
// walk over extension headers would skip and ours does not.
func guardsIPv6() []guard {
	return []guard{
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
}

// ofMatches returns the matches of the family.
func (f ipFamily) ofMatches(list []Match) (own []Match) {
	for _, m := range list {
		if f.has(m.Addr) {
			own = append(own, m)
		}
	}
	return own
}

// ofAddrs returns the addresses of the family.
func (f ipFamily) ofAddrs(list []netip.Addr) (own []netip.Addr) {
	for _, a := range list {
		if f.has(a) {
			own = append(own, a)
		}
	}
	return own
}

// has reports whether an address is of the family.
func (f ipFamily) has(a netip.Addr) bool { return a.BitLen() == int(f.addrLen)*8 }

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
