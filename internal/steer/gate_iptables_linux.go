package steer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// xtGateChain is the chain of closed addresses in the table "filter", to which INPUT jumps.
const xtGateChain = "uvs-no-accept"

// xtGate is a chain of iptables-legacy: kernels with nf_tables have no need of it.
type xtGate struct{}

// programs returns iptables' programs of the older kind.
func (xtGate) programs() (xtPrograms, bool) {
	list := new(iptables).installed()
	i := slices.IndexFunc(list, func(p xtPrograms) bool { return !p.nft })
	if i < 0 {
		return xtPrograms{}, false
	}
	return list[i], true
}

// set implements gatekeeper.
func (k xtGate) set(from, to Closed) error {
	if from.equal(to) {
		return nil
	}
	p, ok := k.programs()
	if !ok {
		return errors.New("needs nf_tables, or the programs of iptables-legacy")
	}
	for _, f := range xtFamilies() {
		if !f.present() {
			continue
		}
		if err := p.restore(f, k.script(p, f, to)); err != nil {
			return err
		}
	}
	return nil
}

// script fills the chain of one family, and has INPUT jump to it.
func (k xtGate) script(p xtPrograms, f xtFamily, c Closed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*filter\n:%s - [0:0]\n", xtGateChain)
	for _, r := range xtGateRules(f, c, net.InterfaceByIndex) {
		fmt.Fprintf(&b, "-A %s %s\n", xtGateChain, r)
	}
	if !k.jumps(p, f) {
		fmt.Fprintf(&b, "-I INPUT 1 -j %s\n", xtGateChain)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// xtGateRules are Closed.Refuses for the packets of one family. A device that is gone has no
// packets.
func xtGateRules(f xtFamily, c Closed, device func(int) (*net.Interface, error)) (rules []string) {
	for _, link := range c.Open {
		if d, err := device(link); err == nil {
			rules = append(rules, fmt.Sprintf("-i %s -j RETURN", d.Name))
		}
	}
	if f.bits == 128 {
		for _, kind := range []int{ndSolicitation, ndAdvertisement} {
			rules = append(rules, fmt.Sprintf("-p ipv6-icmp -m icmp6 --icmpv6-type %d -j RETURN", kind))
		}
	}
	for _, a := range c.Addrs {
		if !f.has(a.Addr) {
			continue
		}
		in := ""
		if a.Link != 0 {
			d, err := device(a.Link)
			if err != nil {
				continue
			}
			in = "-i " + d.Name + " "
		}
		rules = append(rules, fmt.Sprintf("%s-d %s -j DROP", in, a.Addr))
	}
	return rules
}

// hasTable reports whether the kernel has the older table "filter" here: to ask the programs would
// make it.
func (xtGate) hasTable(f xtFamily) bool {
	names, err := os.ReadFile("/proc/thread-self/net/" + f.sysfile)
	return err == nil && slices.Contains(strings.Fields(string(names)), "filter")
}

// jumps reports whether INPUT jumps to the chain.
func (k xtGate) jumps(p xtPrograms, f xtFamily) bool {
	if !k.hasTable(f) {
		return false
	}
	_, err := xtRun(f.name+p.suffix, "", xtWait, "-C", "INPUT", "-j", xtGateChain)
	return err == nil
}

// remove implements gatekeeper.
func (k xtGate) remove() (removed []string, err error) {
	for _, f := range xtFamilies() {
		if !k.hasTable(f) {
			continue
		}
		p, ok := k.programs()
		if !ok || !k.jumps(p, f) {
			continue
		}
		script := fmt.Sprintf("*filter\n-D INPUT -j %s\n-F %s\n-X %s\nCOMMIT\n", xtGateChain, xtGateChain, xtGateChain)
		if err := p.restore(f, script); err != nil {
			return removed, err
		}
		removed = append(removed, fmt.Sprintf("chain %s of %s%s, table filter", xtGateChain, f.name, p.suffix))
	}
	return removed, nil
}
