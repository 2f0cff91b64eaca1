package hostnet

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Rule is a policy rule that no lookup of this package obeys: one beyond the rules for
// the tables local, main and default that every namespace starts with.
type Rule struct {
	IPv6     bool
	Priority uint32
	// Src and Dst select packets by prefix; the zero Prefix selects all.
	Src, Dst netip.Prefix
	// In and Out select by device name; empty selects all.
	In, Out string
	// Mark and Mask select by firewall mark; a zero Mask selects all.
	Mark, Mask uint32
	// Table is the routing table that the rule leads to, 0 if none. L3MDev says that the
	// table is that of the packet's VRF.
	Table  int
	L3MDev bool
	// Action is the kernel's number (FR_ACT_*): 1 is a table lookup.
	Action uint8
	// Inverted says that the rule takes what its selectors do not match.
	Inverted bool
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
	if r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, r.Mask)
	}
	if r.In != "" {
		fmt.Fprintf(&b, " iif %s", r.In)
	}
	if r.Out != "" {
		fmt.Fprintf(&b, " oif %s", r.Out)
	}
	switch {
	case r.L3MDev:
		b.WriteString(" lookup [l3mdev-table]")
	case r.Action == ruleToTable:
		fmt.Fprintf(&b, " lookup %d", r.Table)
	default:
		fmt.Fprintf(&b, " action %d", r.Action)
	}
	return b.String()
}

// ruleToTable is FR_ACT_TO_TBL of linux/fib_rules.h.
const ruleToTable = 1

// standard reports whether the rule is one of those that Lookup does obey: it leads all
// packets to the table local at priority 0, main at 32766 or default at 32767.
func (r Rule) standard() bool {
	bare := Rule{IPv6: r.IPv6, Priority: r.Priority, Table: r.Table, Action: ruleToTable}
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
