package steer

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Chains of ours in the table "raw". A rule of PREROUTING jumps to the first, which has a
// rule for each device; the second decides.
const (
	xtTable  = "raw"
	xtChain  = "uvs-steer"
	xtDecide = "uvs-steer-match"
	// xtPatterns is what xtDecide asks between services and servers, if there are patterns.
	xtPatterns = "uvs-steer-pattern"
	// xtMade is an empty chain: it says that iptables-nft made the table for us, so that
	// it goes with our rules unless somebody else has come to use it.
	xtMade = "uvs-steer-table"
)

// xtJump is the rule of PREROUTING, as iptables-save prints it.
const xtJump = "-A PREROUTING -j " + xtChain

// An xtFamily is IPv4 or IPv6, each of which has its own programs and tables.
type xtFamily struct {
	name    string // of its programs
	bits    int    // of an address
	sysfile string // below /proc/thread-self/net: the tables of the older iptables
}

// xtFamilies returns both.
func xtFamilies() []xtFamily {
	return []xtFamily{
		{"iptables", 32, "ip_tables_names"},
		{"ip6tables", 128, "ip6_tables_names"},
	}
}

// has reports whether an address is of the family.
func (f xtFamily) has(a netip.Addr) bool { return a.BitLen() == f.bits }

// of returns the rules for packets of the family.
func (f xtFamily) of(r Rules) Rules {
	other := func(m Match) bool { return !f.has(m.Addr) }
	return Rules{
		Services: slices.DeleteFunc(slices.Clone(r.Services), other),
		Servers:  slices.DeleteFunc(slices.Clone(r.Servers), other),
		Patterns: ofFamily(r.Patterns, f.bits),
		Locals:   slices.DeleteFunc(slices.Clone(r.Locals), func(a netip.Addr) bool { return !f.has(a) }),
		FTPAddrs: slices.DeleteFunc(slices.Clone(r.FTPAddrs), func(a netip.Addr) bool { return !f.has(a) }),
	}
}

// An xtState is what the table has of ours.
type xtState struct {
	chains []string // that exist
	rules  []string // of our chains
	jumps  int      // from PREROUTING to the first
}

// parseXT reads what iptables-save prints of the table.
func parseXT(saved string) (s xtState) {
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == xtJump:
			s.jumps++
		case word == "-A" && isXTChain(firstWord(rest)):
			s.rules = append(s.rules, line)
		case strings.HasPrefix(word, ":") && isXTChain(word[1:]):
			s.chains = append(s.chains, word[1:])
		}
	}
	return s
}

func isXTChain(name string) bool {
	return name == xtChain || name == xtDecide || name == xtPatterns || name == xtMade
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// none reports whether nothing of ours is there.
func (s xtState) none() bool { return len(s.chains) == 0 && s.jumps == 0 }

// equal reports whether two states are the same.
func (s xtState) equal(o xtState) bool {
	return s.jumps == o.jumps && slices.Equal(s.chains, o.chains) && slices.Equal(s.rules, o.rules)
}

// xtScript puts together what iptables-restore --noflush takes over as a whole: the chains
// are emptied if they exist, and filled. now is what is there.
func xtScript(rules []string, now xtState, made bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n:%s - [0:0]\n:%s - [0:0]\n", xtTable, xtChain, xtDecide)
	if slices.Contains(now.chains, xtPatterns) || slices.ContainsFunc(rules, func(r string) bool { return strings.HasPrefix(r, "-A "+xtPatterns+" ") }) {
		fmt.Fprintf(&b, ":%s - [0:0]\n", xtPatterns)
	}
	if made {
		fmt.Fprintf(&b, ":%s - [0:0]\n", xtMade)
	}
	for _, r := range rules {
		b.WriteString(r + "\n")
	}
	if now.jumps != 1 {
		for range now.jumps {
			fmt.Fprintf(&b, "-D PREROUTING -j %s\n", xtChain)
		}
		fmt.Fprintf(&b, "-I PREROUTING 1 -j %s\n", xtChain)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// xtRemoval takes everything of ours away.
func xtRemoval(now xtState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n", xtTable)
	for range now.jumps {
		fmt.Fprintf(&b, "-D PREROUTING -j %s\n", xtChain)
	}
	for _, act := range []string{"-F", "-X"} {
		for _, c := range now.chains {
			fmt.Fprintf(&b, "%s %s\n", act, c)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// xtRules returns Rules.Drops on the devices for the packets of one family, in the order in
// which they are met. The rules are of that family.
func (f xtFamily) rules(r Rules, devices []net.Interface) ([]string, error) {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf("-A "+format, args...)) }
	for _, device := range devices {
		d := device.Name
		if strings.HasSuffix(d, "+") || strings.ContainsAny(d, "\"\\'") {
			return nil, fmt.Errorf("interface %s: iptables has no rule for such a name; steer by another backend", d)
		}
		add("%s -i %s -m pkttype --pkt-type unicast -g %s", xtChain, d, xtDecide)
	}
	if f.bits == 32 {
		add("%s -f -j RETURN", xtDecide) // a match of ports alone does not leave them out everywhere
	}
	drop := func(m Match, addr, port string) {
		proto := protoName(m.Proto)
		ports := "0:65535" // and not nothing, which later fragments meet as well
		if !m.anyPort() {
			ports = fmt.Sprint(m.Port)
		}
		add("%s %s %s -p %s -m %s %s %s -j DROP", xtDecide, addr, m.Addr, proto, proto, port, ports)
	}
	for _, m := range r.Services {
		drop(m, "-d", "--dport")
	}
	for _, a := range r.FTPAddrs {
		for _, ports := range []string{fmt.Sprint(ftpDataPort), fmt.Sprintf("%d:65535", leastDataPort)} {
			add("%s -d %s -p tcp -m tcp --dport %s -j DROP", xtDecide, a, ports)
		}
	}
	for _, x := range r.Patterns {
		text, ok := xtPattern(x, devices)
		if ok {
			add("%s %s", xtPatterns, text)
		}
	}
	if len(r.Patterns) > 0 {
		add("%s -j %s", xtDecide, xtPatterns)
	}
	if len(r.Servers) > 0 {
		for _, a := range r.Locals {
			add("%s -d %s -j RETURN", xtDecide, a)
		}
	}
	for _, m := range r.Servers {
		drop(m, "-s", "--sport")
	}
	return list, nil
}

// xtPattern returns a pattern as a rule. It is false for one of a device that is not steered.
func xtPattern(x Pattern, devices []net.Interface) (string, bool) {
	var words []string
	if x.Link != 0 {
		i := slices.IndexFunc(devices, func(d net.Interface) bool { return d.Index == x.Link })
		if i < 0 {
			return "", false
		}
		words = append(words, "-i "+devices[i].Name)
	}
	if x.Source.IsValid() {
		words = append(words, "-s "+x.Source.String())
	}
	proto := protoName(x.Proto)
	words = append(words, fmt.Sprintf("-d %s -p %s -m %s --dport %d:%d", x.Destination, proto, proto, x.First, x.Last))
	if x.Take {
		return strings.Join(append(words, "-j DROP"), " "), true
	}
	return strings.Join(append(words, "-j RETURN"), " "), true
}
