package steer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// xtTimeout is how long one of iptables' programs may take. A table of some ten thousand
// rules takes seconds; the lock of the older iptables is waited for.
const (
	xtTimeout = time.Minute
	xtWait    = "--wait=20"
)

// iptables steers by a chain of the table "raw", which is asked ahead of connection
// tracking. It runs iptables' own programs, so that the table stays what they expect: those
// called iptables-restore and so on, or, if the kernel lacks what they need, their -legacy
// or -nft counterparts. The tables of IPv4 and IPv6 are each replaced as a whole.
//
// Its rules are met one after the other: with hundreds of services every packet pays for
// them. The stack has looked at a frame before iptables does, which makes these differences
// from Rules.Drops: a frame with a priority tag (VLAN 0) is taken, as its tag is gone; so is
// an IPv6 packet with an authentication header; a fragmented packet that connection tracking
// put together is taken whole; and with bridge-nf-call-iptables on, frames that only cross a
// bridge with addresses of ours are taken too.
type iptables struct {
	use     xtPrograms
	done    map[string]xtDone // by family
	adopted bool              // nothing of the other kind of iptables is left
}

// xtPrograms are iptables' programs of one kind.
type xtPrograms struct {
	suffix string // "", "-legacy" or "-nft"
	nft    bool   // they are a front of nf_tables
}

// An xtDone is what was put in place, and what iptables-save made of it.
type xtDone struct {
	script string
	state  xtState
}

// installed returns the programs that there are, at most one of each kind, the machine's
// choice first.
func (x *iptables) installed() (list []xtPrograms) {
	for _, suffix := range []string{"", "-legacy", "-nft"} {
		version, err := xtRun("iptables"+suffix, "", "--version")
		if err != nil {
			continue
		}
		p := xtPrograms{suffix, strings.Contains(version, "nf_tables")}
		if !slices.ContainsFunc(list, func(o xtPrograms) bool { return o.nft == p.nft }) {
			list = append(list, p)
		}
	}
	return list
}

// probe implements backend. It has the programs check rules without committing them.
func (x *iptables) probe() error {
	list := x.installed()
	if len(list) == 0 {
		return errors.New("needs the programs iptables-restore and iptables-save; install the package iptables")
	}
	var errs []error
	for _, p := range list {
		err := p.try()
		if err == nil {
			x.use = p
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("does not work on Linux %s: %w", running(), joined(errs))
}

// try reports what keeps the programs from working.
func (p xtPrograms) try() error {
	for _, f := range xtFamilies() {
		if !f.present() {
			continue
		}
		rules, err := f.rules(f.of(xtProbe()), []net.Interface{{Index: loopbackIndex, Name: "lo"}})
		if err != nil {
			return err
		}
		if err := p.restore(f, xtScript(rules, xtState{}, false), "--test"); err != nil {
			return err
		}
	}
	return nil
}

// xtProbe has rules of both families, for addresses that nobody has (RFC 5737).
func xtProbe() Rules {
	r := probeRules()
	m := r.Services[0]
	m.Addr = netip.AddrFrom4([4]byte{192, 0, 2, 255})
	r.Services, r.Servers, r.FTPAddrs = append(r.Services, m), append(r.Servers, m), append(r.FTPAddrs, m.Addr)
	return r
}

// apply implements backend.
func (x *iptables) apply(r Rules) error {
	r = r.plain()
	devices, err := present(r.Links)
	if err != nil {
		return err
	}
	if r.empty() || len(devices) == 0 {
		_, err := x.remove()
		return err
	}
	var undo []func() error
	for _, f := range xtFamilies() {
		if !f.present() {
			continue // without IPv6 the kernel does not look at such packets
		}
		back, err := x.applyFamily(f, f.of(r), devices)
		if err != nil {
			for _, u := range slices.Backward(undo) {
				err = errors.Join(err, u())
			}
			return err
		}
		undo = append(undo, back)
	}
	if x.adopted {
		return nil
	}
	_, err = x.removeBy(slices.DeleteFunc(x.installed(), func(p xtPrograms) bool { return p.nft == x.use.nft }))
	x.adopted = err == nil
	return err
}

// applyFamily replaces our chains in one table. back restores what was there.
func (x *iptables) applyFamily(f xtFamily, r Rules, devices []net.Interface) (back func() error, err error) {
	now, table, err := x.use.state(f)
	if err != nil {
		return nil, err
	}
	before := x.done[f.name]
	back = func() error {
		delete(x.done, f.name)
		if now.none() {
			_, err := x.use.removeFamily(f)
			return err
		}
		return x.use.restore(f, xtScript(now.rules, xtState{jumps: 1}, false))
	}
	if r.empty() {
		delete(x.done, f.name)
		_, err := x.use.removeFamily(f)
		return back, err
	}
	rules, err := f.rules(r, devices)
	if err != nil {
		return nil, err
	}
	script := xtScript(rules, xtState{jumps: 1}, false)
	if script == before.script && now.equal(before.state) {
		return func() error { return nil }, nil
	}
	if err := x.use.restore(f, xtScript(rules, now, x.use.nft && !table)); err != nil {
		return nil, err
	}
	if now, _, err = x.use.state(f); err != nil {
		return nil, err
	}
	if x.done == nil {
		x.done = make(map[string]xtDone)
	}
	x.done[f.name] = xtDone{script, now}
	return back, nil
}

// remove implements backend.
func (x *iptables) remove() (removed []string, err error) {
	x.done = nil
	return x.removeBy(x.installed())
}

// removeBy takes away what the programs find.
func (x *iptables) removeBy(list []xtPrograms) (removed []string, err error) {
	var errs []error
	for _, p := range list {
		for _, f := range xtFamilies() {
			gone, err := p.removeFamily(f)
			removed = append(removed, gone...)
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

// removeFamily takes away what is ours in one table.
func (p xtPrograms) removeFamily(f xtFamily) (removed []string, err error) {
	now, _, err := p.state(f)
	if err != nil || now.none() {
		return nil, err
	}
	if err := p.restore(f, xtRemoval(now)); err != nil {
		return nil, err
	}
	removed = append(removed, fmt.Sprintf("chain %s of %s%s, table %s", xtChain, f.name, p.suffix, xtTable))
	if p.nft && slices.Contains(now.chains, xtMade) {
		return removed, dropEmptyTable(f)
	}
	return removed, nil
}

// close implements backend.
func (x *iptables) close() error { return nil }

// state reads what is ours in a table. The programs are only asked if something of ours may
// be there: the older ones make tables that they are asked for, and the newer ones do not
// understand every table.
func (p xtPrograms) state(f xtFamily) (s xtState, table bool, err error) {
	table, ours, err := p.table(f)
	if !ours || err != nil {
		return xtState{}, table, err
	}
	saved, err := xtRun(f.name+p.suffix+"-save", "", "-t", xtTable)
	if err != nil {
		return xtState{}, true, err
	}
	return parseXT(saved), true, nil
}

// table reports whether the kernel has the table in this namespace, and whether chains of
// ours may be in it.
func (p xtPrograms) table(f xtFamily) (table, ours bool, err error) {
	if !p.nft {
		names, err := os.ReadFile("/proc/thread-self/net/" + f.sysfile)
		table = err == nil && slices.Contains(strings.Fields(string(names)), xtTable) // no file: no such iptables
		return table, table, nil
	}
	conn, err := dial()
	if err != nil {
		return false, false, err
	}
	tables, err := conn.ListTablesOfFamily(f.nftFamily())
	if nftMissing(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("list tables: %w", err)
	}
	if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == xtTable }) {
		return false, false, nil
	}
	chains, err := conn.ListChainsOfTableFamily(f.nftFamily())
	if err != nil {
		return true, false, fmt.Errorf("list chains: %w", err)
	}
	return true, slices.ContainsFunc(chains, func(c *nftables.Chain) bool { return c.Table.Name == xtTable && isXTChain(c.Name) }), nil
}

func (f xtFamily) nftFamily() nftables.TableFamily {
	if f.bits == 32 {
		return nftables.TableFamilyIPv4
	}
	return nftables.TableFamilyIPv6
}

// present reports whether the kernel has the family at all.
func (f xtFamily) present() bool {
	if f.bits == 32 {
		return true
	}
	_, err := os.Stat("/proc/thread-self/net/if_inet6")
	return err == nil
}

// dropEmptyTable deletes the table if nothing but chains without rules is left of it that
// drop nothing.
func dropEmptyTable(f xtFamily) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	chains, err := conn.ListChainsOfTableFamily(f.nftFamily())
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	chains = slices.DeleteFunc(chains, func(c *nftables.Chain) bool { return c.Table.Name != xtTable })
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		if len(rules) > 0 || c.Hooknum == nil || c.Policy != nil && *c.Policy != nftables.ChainPolicyAccept {
			return nil
		}
		conn.DelChain(c) // which the kernel refuses when somebody adds a rule meanwhile
	}
	conn.DelTable(&nftables.Table{Name: xtTable, Family: f.nftFamily()})
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("delete table %s: %w", xtTable, err)
	}
	return nil
}

// restore feeds a script to iptables-restore.
func (p xtPrograms) restore(f xtFamily, script string, options ...string) error {
	_, err := xtRun(f.name+p.suffix+"-restore", script, append([]string{"--noflush", xtWait}, options...)...)
	return err
}

// xtRun runs one of iptables' programs in the namespace of the calling thread.
func xtRun(name, input string, args ...string) (string, error) {
	program, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not in everybody's PATH
		if err == nil {
			break
		}
		program, err = exec.LookPath(filepath.Join(dir, name))
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), xtTimeout)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil {
		said := strings.Join(strings.FieldsFunc(errs.String(), func(r rune) bool { return r == '\n' }), ", ")
		return "", fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return out.String(), nil
}

// joined puts errors into one line.
func joined(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	parts := make([]string, len(errs))
	for i, err := range errs {
		parts[i] = err.Error()
	}
	return errors.New(strings.Join(parts, "; "))
}
