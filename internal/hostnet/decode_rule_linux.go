package hostnet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// decodeRule reads a message of a rule dump. It reports false for a malformed one.
func decodeRule(b []byte) (Rule, bool) {
	if len(b) < unix.SizeofRtMsg || !isIP(b[0]) { // struct fib_rule_hdr has the same size
		return Rule{}, false
	}
	r := Rule{
		IPv6:     b[0] == unix.AF_INET6,
		TOS:      b[3],
		Table:    int(b[4]),
		Action:   b[7],
		Inverted: binary.NativeEndian.Uint32(b[8:])&ruleInvert != 0,
	}
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.FRA_DST:
			r.Dst, _ = address(v).Prefix(int(b[1]))
		case unix.FRA_SRC:
			r.Src, _ = address(v).Prefix(int(b[2]))
		case unix.FRA_IIFNAME:
			r.In = text(v)
		case unix.FRA_OIFNAME:
			r.Out = text(v)
		case unix.FRA_PRIORITY:
			r.Priority = number(v)
		case unix.FRA_FWMARK:
			r.Mark = number(v)
		case unix.FRA_FWMASK:
			r.Mask = number(v)
		case unix.FRA_TABLE:
			r.Table = int(number(v))
		case unix.FRA_L3MDEV:
			r.L3MDev = len(v) > 0 && v[0] != 0
		default:
			r.decodeMore(kind, v)
		}
	}
	return r, true
}

// decodeMore reads the attributes of a rule that are rare.
func (r *Rule) decodeMore(kind uint16, v []byte) {
	switch kind {
	case unix.FRA_GOTO:
		r.Goto = number(v)
	case unix.FRA_FLOW:
		r.Realms = number(v)
	case unix.FRA_TUN_ID:
		if len(v) >= 8 {
			r.TunnelID = binary.BigEndian.Uint64(v)
		}
	case unix.FRA_SUPPRESS_PREFIXLEN:
		r.SuppressLength, r.SuppressesLength = suppressed(v)
	case unix.FRA_SUPPRESS_IFGROUP:
		r.SuppressGroup, r.SuppressesGroup = suppressed(v)
	case unix.FRA_UID_RANGE:
		if len(v) >= 8 {
			r.UIDs = RuleRange{true, binary.NativeEndian.Uint32(v), binary.NativeEndian.Uint32(v[4:])}
		}
	case unix.FRA_IP_PROTO:
		r.IPProtocol = octet(v)
	case unix.FRA_SPORT_RANGE:
		r.SourcePorts = portRange(v)
	case unix.FRA_DPORT_RANGE:
		r.DestPorts = portRange(v)
	case unix.FRA_PROTOCOL:
		r.Protocol = octet(v)
	}
}

// suppressed reads what a rule suppresses: the kernel tells -1 for nothing.
func suppressed(v []byte) (uint32, bool) {
	if n := number(v); int32(n) >= 0 {
		return n, true
	}
	return 0, false
}

// portRange reads a struct fib_rule_port_range.
func portRange(v []byte) RuleRange {
	if len(v) < 4 {
		return RuleRange{}
	}
	return RuleRange{true, uint32(binary.NativeEndian.Uint16(v)), uint32(binary.NativeEndian.Uint16(v[2:]))}
}

// octet reads an 8-bit attribute, or 0 if it is empty.
func octet(v []byte) byte {
	if len(v) == 0 {
		return 0
	}
	return v[0]
}
