package vipcheck

import (
	"golang.org/x/net/bpf"

	"uvs/internal/wire"
)

// headMax is how much of a packet is read: an error, with what it quotes of a packet inside a tunnel.
const headMax = 512

// filter passes TCP segments to a port, and errors of ICMP, to be looked at closely. It runs on packets without a link
// header, of one family.
func filter(v6 bool, port uint16) []bpf.Instruction {
	const (
		fragment = 6  // flags and offset
		proto4   = 9  // protocol
		proto6   = 6  // next header
		to       = 2  // destination port, in a TCP header
		code6    = 40 // type, in an ICMPv6 header behind one of IPv6
	)
	if v6 {
		return []bpf.Instruction{
			bpf.LoadAbsolute{Off: proto6, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.ProtoICMPv6, SkipTrue: 3},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.ProtoTCP, SkipTrue: 5},
			bpf.LoadAbsolute{Off: wire.IPv6Len + to, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 2, SkipFalse: 3},
			bpf.LoadAbsolute{Off: code6, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: wire.ICMPv6Informational, SkipTrue: 1},
			bpf.RetConstant{Val: headMax},
			bpf.RetConstant{Val: 0},
		}
	}
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: fragment, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 10},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadAbsolute{Off: proto4, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.ProtoICMP, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.ProtoTCP, SkipTrue: 6},
		bpf.LoadIndirect{Off: to, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 3, SkipFalse: 4},
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: wire.ICMPUnreachable, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: wire.ICMPTimeExceeded, SkipTrue: 1},
		bpf.RetConstant{Val: headMax},
		bpf.RetConstant{Val: 0},
	}
}
