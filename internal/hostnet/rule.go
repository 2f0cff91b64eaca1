package hostnet

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Rule is a policy rule. In a snapshot it is one that no lookup of this package obeys:
// one beyond the rules for the tables local, main and default that every namespace starts
// with. It is a plain value; rules can be compared by ==.
type Rule struct {
	IPv6     bool
	Priority uint32
	// Src and Dst select packets by prefix; the zero Prefix selects all.
	Src, Dst netip.Prefix
	// In and Out select by device name; empty selects all.
	In, Out string
	// Mark and Mask select by firewall mark; a zero Mask selects all.
	Mark, Mask uint32
	// TOS, TunnelID and IPProtocol select by type of service, tunnel and protocol; zero
	// selects all.
	TOS, IPProtocol uint8
	TunnelID        uint64
	// UIDs, SourcePorts and DestPorts select by the user of a socket and by ports.
	UIDs                   RuleRange
	SourcePorts, DestPorts RuleRange
	// Action is the kernel's number (FR_ACT_*): 1 is a table lookup, 2 goes to the rule of
	// priority Goto.
	Action uint8
	Goto   uint32
	// Table is the routing table that the rule leads to, 0 if none. L3MDev says that the
	// table is that of the packet's VRF.
	Table  int
	L3MDev bool
	// Realms are the source realm << 16 | the destination realm that the rule gives (IPv4).
	Realms uint32
	// SuppressLength refuses routes of at most that length, if SuppressesLength, and
	// SuppressGroup those by devices of that group, if SuppressesGroup.
	SuppressLength, SuppressGroup     uint32
	SuppressesLength, SuppressesGroup bool
	// Inverted says that the rule takes what its selectors do not match.
	Inverted bool
	// Protocol says who made the rule (RTPROT_*), ProtocolKeepalived for VRRP.
	Protocol uint8
}

// A RuleRange selects numbers from First to Last, both included, if Set.
type RuleRange struct {
	Set         bool
	First, Last uint32
}

// String returns the rule in the manner of ip-rule(8).
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", r.Priority)
	if r.Inverted {
		b.WriteString(" not")
	}
	b.WriteString(" from ")
	if r.Src.IsValid() {
		b.WriteString(r.Src.String())
	} else {
		b.WriteString("all")
	}
	if r.Dst.IsValid() {
		fmt.Fprintf(&b, " to %s", r.Dst)
	}
	if r.TOS != 0 {
		fmt.Fprintf(&b, " tos %#x", r.TOS)
	}
	if r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, r.Mask)
	}
	if r.In != "" {
		fmt.Fprintf(&b, " iif %s", r.In)
	}
	if r.Out != "" {
		fmt.Fprintf(&b, " oif %s", r.Out)
	}
	r.UIDs.describe(&b, "uidrange")
	if r.IPProtocol != 0 {
		fmt.Fprintf(&b, " ipproto %d", r.IPProtocol)
	}
	r.SourcePorts.describe(&b, "sport")
	r.DestPorts.describe(&b, "dport")
	if r.TunnelID != 0 {
		fmt.Fprintf(&b, " tun_id %d", r.TunnelID)
	}
	r.describeAction(&b)
	return b.String()
}

func (r Rule) describeAction(b *strings.Builder) {
	switch {
	case r.L3MDev:
		b.WriteString(" lookup [l3mdev-table]")
	case r.Action == ruleToTable:
		fmt.Fprintf(b, " lookup %d", r.Table)
	case r.Action == ruleGoto:
		fmt.Fprintf(b, " goto %d", r.Goto)
	default:
		fmt.Fprintf(b, " action %d", r.Action)
	}
	if r.SuppressesLength {
		fmt.Fprintf(b, " suppress_prefixlength %d", r.SuppressLength)
	}
	if r.SuppressesGroup {
		fmt.Fprintf(b, " suppress_ifgroup %d", r.SuppressGroup)
	}
	if r.Realms != 0 {
		fmt.Fprintf(b, " realms %d/%d", r.Realms>>16, r.Realms&0xffff)
	}
}

func (r RuleRange) describe(b *strings.Builder, word string) {
	if r.Set {
		fmt.Fprintf(b, " %s %d-%d", word, r.First, r.Last)
	}
}

// normal returns the rule as the kernel tells it: prefixes masked, those of length 0 left
// out.
func (r Rule) normal() Rule {
	for _, p := range []*netip.Prefix{&r.Src, &r.Dst} {
		if *p = p.Masked(); p.Bits() == 0 {
			*p = netip.Prefix{}
		}
	}
	return r
}

// Actions of linux/fib_rules.h (FR_ACT_TO_TBL, FR_ACT_GOTO).
const (
	ruleToTable = 1
	ruleGoto    = 2
)

// standard reports whether the rule is one of those that Lookup does obey: it leads all
// packets to the table local at priority 0, main at 32766 or default at 32767.
func (r Rule) standard() bool {
	bare := Rule{IPv6: r.IPv6, Priority: r.Priority, Table: r.Table, Action: ruleToTable, Protocol: r.Protocol}
	if r != bare {
		return false
	}
	switch r.Table {
	case TableLocal:
		return r.Priority == 0
	case TableMain:
		return r.Priority == 32766
	case TableDefault:
		return r.Priority == 32767
	}
	return false
}
