package hostmarks

import (
	"cmp"
	"net/netip"
	"slices"

	"uvs/config"
)

// A Result is what the host's rules say of marks.
type Result struct {
	// Rules are in the order to ask them in: the first that fits counts. Netfilter lets the last
	// one count that a packet meets; that is done with.
	Rules []config.MarkRule
	// Notes name each rule that sets marks and is not among them, and why, a line each.
	Notes []string
}

// mangle is the priority of iptables' table of that name (NF_IP_PRI_MANGLE).
const manglePriority = -150

// A hook is where a chain is met.
type hook uint8

const (
	prerouting hook = iota
	input
)

// A chain is the rules of one base chain in their order.
type chain struct {
	hook     hook
	priority int
	rules    []rule
}

// A rule is one that sets a mark.
type rule struct {
	fits  []config.MarkRule // any of them; they differ in what one cannot say alone
	final bool              // packets that fit meet no rule behind it
}

// firstFits puts the rules of all chains into the order of Result.Rules. Of rules that are met
// one after the other the last one counts, unless an earlier one was final.
func firstFits(chains []chain) (list []config.MarkRule) {
	slices.SortStableFunc(chains, func(a, b chain) int {
		return cmp.Or(cmp.Compare(a.hook, b.hook), cmp.Compare(a.priority, b.priority))
	})
	for _, c := range slices.Backward(chains) {
		var here []config.MarkRule
		for _, r := range slices.Backward(c.rules) {
			if r.final { // of its chain; others follow
				here = slices.Concat(r.fits, here)
			} else {
				here = append(here, r.fits...)
			}
		}
		list = append(list, here...)
	}
	return list
}

// everything is the prefix of all addresses of a family.
func everything(v6 bool) netip.Prefix {
	if v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// ofFamily narrows a rule to a family: one without an address would fit both. It is false for
// one of the other family.
func ofFamily(r *config.MarkRule, v6 bool) bool {
	for _, list := range [][]netip.Prefix{r.Sources, r.Destinations} {
		if len(list) > 0 {
			return list[0].Addr().Is6() == v6
		}
	}
	r.Destinations = []netip.Prefix{everything(v6)}
	return true
}
