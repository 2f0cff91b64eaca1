package vipcheck

import (
	"fmt"
	"net/netip"

	"uvs/internal/wire"
)

// A Refusal is an ICMP error that came instead of an answer, from a server or from somebody on the way.
type Refusal struct {
	From       netip.Addr
	IPv6       bool // ICMPv6: the numbers are its own
	Type, Code uint8
}

// known reports whether it is an error that ends a question.
func (r *Refusal) known() bool {
	if r.IPv6 {
		return r.Type == wire.ICMPv6Unreachable || r.Type == wire.ICMPv6TimeExceeded || r.Type == wire.ICMPv6Parameter
	}
	return r.Type == wire.ICMPUnreachable && r.Code != wire.ICMPCodeFragmentation || r.Type == wire.ICMPTimeExceeded
}

// Error implements error: who says what, and what that means for a virtual address.
func (r *Refusal) Error() string { return fmt.Sprintf("%s says: %s", r.From, r.words()) }

func (r *Refusal) words() string {
	if r.IPv6 {
		return r.words6()
	}
	if r.Type == wire.ICMPTimeExceeded {
		return forwarded
	}
	switch r.Code {
	case wire.ICMPCodeNet:
		return "network unreachable"
	case wire.ICMPCodeHost:
		return "host unreachable"
	case wire.ICMPCodeProtocol:
		return noTunnel
	case wire.ICMPCodePort:
		return "port unreachable"
	case wire.ICMPCodeProhibited:
		return prohibited
	}
	return fmt.Sprintf("unreachable (ICMP code %d)", r.Code)
}

func (r *Refusal) words6() string {
	switch r.Type {
	case wire.ICMPv6TimeExceeded:
		return forwarded
	case wire.ICMPv6Parameter:
		return noTunnel
	}
	switch r.Code {
	case wire.ICMPv6CodeRoute:
		return "no route"
	case wire.ICMPv6CodeProhibited:
		return prohibited
	case wire.ICMPv6CodeAddress:
		return "address unreachable"
	case wire.ICMPv6CodePort:
		return "port unreachable"
	}
	return fmt.Sprintf("unreachable (ICMPv6 code %d)", r.Code)
}

// What several errors mean.
const (
	forwarded  = "time exceeded: the server forwards packets for the address instead of taking them"
	noTunnel   = "protocol unreachable: no end of the tunnel takes the packets"
	prohibited = "prohibited by an administrator"
)
