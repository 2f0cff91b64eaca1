package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A request is a message to rtnetlink, without its header.
type request struct {
	kind, flags uint16
	payload     []byte
	// known are the errors that have a name here.
	known map[unix.Errno]error
}

// createNew are the flags of a request that fails if there is one already.
const createNew = unix.NLM_F_CREATE | unix.NLM_F_EXCL

// encode returns the request that carries a change out.
func encode(c Change) (request, error) {
	switch c := c.(type) {
	case AddAddress:
		return request{unix.RTM_NEWADDR, createNew, encodeNewAddress(c.Address), map[unix.Errno]error{unix.EEXIST: ErrExists}}, nil
	case DeleteAddress:
		return request{unix.RTM_DELADDR, 0, encodeAddress(c.Address, 0),
			map[unix.Errno]error{unix.EADDRNOTAVAIL: ErrNoAddress}}, nil
	case AddRoute:
		b, err := encodeRoute(c.RouteSpec, false)
		return request{unix.RTM_NEWROUTE, placeFlags(c.Place), b, map[unix.Errno]error{unix.EEXIST: ErrExists}}, err
	case DeleteRoute:
		b, err := encodeRoute(c.RouteSpec, true)
		return request{unix.RTM_DELROUTE, 0, b, map[unix.Errno]error{unix.ESRCH: ErrNoRoute}}, err
	case AddRule:
		return request{unix.RTM_NEWRULE, createNew, encodeRule(c.Rule), map[unix.Errno]error{unix.EEXIST: ErrExists}}, nil
	case DeleteRule:
		return request{unix.RTM_DELRULE, 0, encodeRule(c.Rule), map[unix.Errno]error{unix.ENOENT: ErrNoRule}}, nil
	case SetUp:
		return request{kind: unix.RTM_SETLINK, payload: linkMessage(c.Link, unix.IFF_UP, unix.IFF_UP)}, nil
	}
	return request{}, fmt.Errorf("no such change: %T", c)
}

// An encoder appends attributes to a message.
type encoder struct{ b []byte }

// raw appends an attribute.
func (e *encoder) raw(kind uint16, v []byte) {
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(unix.SizeofRtAttr+len(v)))
	e.b = binary.NativeEndian.AppendUint16(e.b, kind)
	e.b = append(e.b, v...)
	for len(e.b)%4 != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) u8(kind uint16, v uint8)   { e.raw(kind, []byte{v}) }
func (e *encoder) u16(kind uint16, v uint16) { e.raw(kind, binary.NativeEndian.AppendUint16(nil, v)) }
func (e *encoder) u32(kind uint16, v uint32) { e.raw(kind, binary.NativeEndian.AppendUint32(nil, v)) }

// be16 and be64 are in the order of the wire.
func (e *encoder) be16(kind uint16, v uint16) { e.raw(kind, binary.BigEndian.AppendUint16(nil, v)) }
func (e *encoder) be64(kind uint16, v uint64) { e.raw(kind, binary.BigEndian.AppendUint64(nil, v)) }

// str appends a string with its final zero.
func (e *encoder) str(kind uint16, v string) { e.raw(kind, append([]byte(v), 0)) }

// addr appends an address, unless it is the zero Addr.
func (e *encoder) addr(kind uint16, a netip.Addr) {
	if a.IsValid() {
		e.raw(kind, a.AsSlice())
	}
}

// nest appends an attribute that consists of attributes.
func (e *encoder) nest(kind uint16, fill func(*encoder)) {
	start := len(e.b)
	e.raw(kind, nil)
	fill(e)
	binary.NativeEndian.PutUint16(e.b[start:], uint16(len(e.b)-start))
}

// encodeNewAddress is the request that adds an address.
func encodeNewAddress(a Address) []byte {
	flags := a.Flags & (FlagHome | FlagManageTemp | FlagNoPrefixRoute | FlagAutoJoin | FlagNoDAD)
	six := a.Prefix.Addr().Is6()
	if six && !a.DAD {
		flags |= FlagNoDAD
	}
	e := encoder{encodeAddress(a, flags)}
	preferred := uint32(Forever)
	switch {
	case a.Flags&FlagDeprecated != 0:
		preferred = 0
	case a.PreferredLifetime != 0:
		preferred = a.PreferredLifetime
	case a.Prefix.IsSingleIP() && !a.Peer.IsValid():
		preferred = 0
	}
	if six && preferred != Forever {
		// struct ifa_cacheinfo: preferred and valid lifetime, two time stamps.
		lifetimes := binary.NativeEndian.AppendUint32(nil, preferred)
		lifetimes = binary.NativeEndian.AppendUint32(lifetimes, Forever)
		e.raw(unix.IFA_CACHEINFO, append(lifetimes, make([]byte, 8)...))
	}
	e.addr(unix.IFA_BROADCAST, a.Broadcast)
	if a.Label != "" {
		e.str(unix.IFA_LABEL, a.Label)
	}
	return e.b
}

// encodeAddress is what adding and deleting have in common.
func encodeAddress(a Address, flags AddressFlags) []byte {
	own, other := a.Prefix.Addr(), a.Prefix
	if a.Peer.IsValid() {
		other = a.Peer
	}
	e := encoder{[]byte{byte(familyOf(own)), byte(other.Bits()), 0, byte(a.Scope)}} // struct ifaddrmsg
	e.b = binary.NativeEndian.AppendUint32(e.b, uint32(a.Link))
	e.addr(unix.IFA_LOCAL, own)
	e.addr(unix.IFA_ADDRESS, other.Addr())
	if flags != 0 {
		e.u32(unix.IFA_FLAGS, uint32(flags))
	}
	return e.b
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// encodeRule is the request that adds or deletes a rule (struct fib_rule_hdr).
func encodeRule(r Rule) []byte {
	r = r.normal()
	family := byte(unix.AF_INET)
	if r.IPv6 {
		family = unix.AF_INET6
	}
	var flags uint32
	if r.Inverted {
		flags = ruleInvert
	}
	e := encoder{[]byte{family, lengthOf(r.Dst), lengthOf(r.Src), r.TOS, tableByte(uint32(r.Table)), 0, 0, r.Action}}
	e.b = binary.NativeEndian.AppendUint32(e.b, flags)
	e.u32(unix.FRA_PRIORITY, r.Priority)
	e.addr(unix.FRA_DST, r.Dst.Addr())
	e.addr(unix.FRA_SRC, r.Src.Addr())
	if r.In != "" {
		e.str(unix.FRA_IIFNAME, r.In)
	}
	if r.Out != "" {
		e.str(unix.FRA_OIFNAME, r.Out)
	}
	if r.Mask != 0 {
		e.u32(unix.FRA_FWMARK, r.Mark)
		e.u32(unix.FRA_FWMASK, r.Mask)
	}
	if r.TunnelID != 0 {
		e.be64(unix.FRA_TUN_ID, r.TunnelID)
	}
	if r.UIDs.Set { // struct fib_rule_uid_range
		e.raw(unix.FRA_UID_RANGE, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, r.UIDs.First), r.UIDs.Last))
	}
	if r.IPProtocol != 0 {
		e.u8(unix.FRA_IP_PROTO, r.IPProtocol)
	}
	e.ports(unix.FRA_SPORT_RANGE, r.SourcePorts)
	e.ports(unix.FRA_DPORT_RANGE, r.DestPorts)
	e.ruleAction(r)
	return e.b
}

// ports appends a struct fib_rule_port_range.
func (e *encoder) ports(kind uint16, r RuleRange) {
	if r.Set {
		e.raw(kind, binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, uint16(r.First)), uint16(r.Last)))
	}
}

// ruleAction appends what a rule does.
func (e *encoder) ruleAction(r Rule) {
	if r.Table != 0 {
		e.u32(unix.FRA_TABLE, uint32(r.Table))
	}
	if r.Action == ruleGoto {
		e.u32(unix.FRA_GOTO, r.Goto)
	}
	if r.L3MDev {
		e.u8(unix.FRA_L3MDEV, 1)
	}
	if r.Realms != 0 {
		e.u32(unix.FRA_FLOW, r.Realms)
	}
	if r.SuppressesLength {
		e.u32(unix.FRA_SUPPRESS_PREFIXLEN, r.SuppressLength)
	}
	if r.SuppressesGroup {
		e.u32(unix.FRA_SUPPRESS_IFGROUP, r.SuppressGroup)
	}
	if r.Protocol != 0 {
		e.u8(unix.FRA_PROTOCOL, r.Protocol)
	}
}

// lengthOf is a prefix's length, 0 for the zero Prefix.
func lengthOf(p netip.Prefix) byte {
	if !p.IsValid() {
		return 0
	}
	return byte(p.Bits())
}

// tableByte is the table in the header of a route or rule: those above 255 are in an
// attribute only.
func tableByte(table uint32) byte {
	if table > 255 {
		return unix.RT_TABLE_UNSPEC
	}
	return byte(table)
}

// named puts an error of the kernel into this package's terms.
func (m *request) named(err error) error {
	for errno, name := range m.known {
		if errors.Is(err, errno) {
			return name
		}
	}
	return err
}
