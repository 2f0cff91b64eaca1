package steer

import (
	"fmt"
	"net"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// Names within a table. Each device has a base chain that jumps to the common one.
const (
	chainCommon = "steer"
	chainDevice = "link_" // and the index of the device
)

// Offsets of the ports in the transport header.
const (
	srcPort = 0
	dstPort = 2
)

// chainPriority is that of "raw": ahead of filters, so that nobody counts or tracks
// what the stack never gets.
const chainPriority = -300

// elementsPerMessage keeps the elements of a message within the 64 KiB of a netlink
// attribute; an IPv6 match takes 40 bytes.
const elementsPerMessage = 1000

// pktTypeHost is PACKET_HOST of linux/if_packet.h.
const pktTypeHost = 0

// etherTypes of VLAN tags, IEEE 802.1Q and 802.1ad.
const (
	etherTypeVLAN = 0x8100
	etherTypeQinQ = 0x88a8
)

// A generation collects one table in a batch. Its methods after an error do nothing.
type generation struct {
	conn  *nftables.Conn
	table *nftables.Table
	err   error // the first one
}

// newGeneration starts a batch that creates a table.
func newGeneration(name string) (*generation, error) {
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	t := conn.CreateTable(&nftables.Table{Name: name, Family: nftables.TableFamilyNetdev})
	return &generation{conn: conn, table: t}, nil
}

// build adds Rules.Drops on the devices to the batch.
func (g *generation) build(r Rules, devices []net.Interface) error {
	common := g.chain(chainCommon)
	g.rule(common, "for other hosts or several", loadMeta(expr.MetaKeyPKTTYPE, unix.NFT_REG_1),
		compare(expr.CmpOpNeq, []byte{pktTypeHost}), accept())
	for _, tag := range []uint16{etherTypeVLAN, etherTypeQinQ} {
		// The kernel shows a tag that it has taken out where it was.
		g.rule(common, "tagged", load(expr.PayloadBaseLLHeader, etherTypeOff, 2, unix.NFT_REG_1),
			compare(expr.CmpOpEq, wire(tag)), accept())
	}
	for _, f := range families() {
		sets := g.sets(f, r)
		for _, p := range f.paths {
			c := g.chain(p.chain)
			for _, when := range p.when {
				g.rule(common, p.name, append(when, goTo(c))...)
			}
			g.decide(c, f, p, sets, ofFamily(r.Patterns, int(f.addrLen)*8))
		}
	}
	for _, d := range devices {
		g.hook(d, common)
	}
	return g.err
}

// matchSets are the sets of one address family. Those without elements are nil.
type matchSets struct {
	services, servers endpointSets
	locals, ftp       *nftables.Set
}

// endpointSets hold services or servers: those with a port, and those with every port.
type endpointSets struct {
	exact, anyPort *nftables.Set
}

// sets adds the sets of one address family.
func (g *generation) sets(f ipFamily, r Rules) matchSets {
	var locals []nftables.SetElement
	for _, a := range r.Locals {
		if f.has(a) {
			locals = append(locals, nftables.SetElement{Key: a.AsSlice()})
		}
	}
	var ftp []nftables.SetElement
	for _, a := range r.FTPAddrs {
		if f.has(a) {
			ftp = append(ftp, nftables.SetElement{Key: a.AsSlice()})
		}
	}
	return matchSets{
		ftp:      g.set("ftp"+f.suffix, ftp, f.addrType),
		services: g.endpoints("services", f, r.Services),
		servers:  g.endpoints("servers", f, r.Servers),
		locals:   g.set("locals"+f.suffix, locals, f.addrType),
	}
}

// endpoints adds the sets of the services or servers of one address family.
func (g *generation) endpoints(name string, f ipFamily, list []Match) endpointSets {
	var exact, anyPort []nftables.SetElement
	for _, m := range list {
		if !f.has(m.Addr) {
			continue
		}
		addr, proto := m.Addr.AsSlice(), []byte{m.Proto, 0, 0, 0} // fields fill four bytes each
		if m.anyPort() {
			anyPort = append(anyPort, nftables.SetElement{Key: slices.Concat(addr, proto)})
			continue
		}
		port := append(wire(m.Port), 0, 0)
		exact = append(exact, nftables.SetElement{Key: slices.Concat(addr, port, proto)})
	}
	return endpointSets{
		exact:   g.set(name+f.suffix, exact, f.addrType, nftables.TypeInetService, nftables.TypeInetProto),
		anyPort: g.set(name+f.suffix+"_any", anyPort, f.addrType, nftables.TypeInetProto),
	}
}

// decide adds the rules for packets that take one path through the headers.
func (g *generation) decide(c *nftables.Chain, f ipFamily, p path, sets matchSets, patterns []Pattern) {
	for _, guard := range p.guards {
		g.rule(c, guard.comment, append(guard.when, accept())...)
	}
	g.drops(c, "to a virtual service", f.loadAddr(f.dstOff), f, p, dstPort, sets.services)
	if sets.ftp != nil {
		g.dropsData(c, f, p, dstPort, sets.ftp)
	}
	if len(patterns) > 0 {
		marked := g.chain(p.chain + "_patterns")
		for _, x := range patterns {
			g.rule(marked, x.String(), p.pattern(f, x)...)
		}
		g.rule(c, "by patterns", &expr.Verdict{Kind: expr.VerdictJump, Chain: marked.Name})
	}
	if sets.locals != nil && sets.servers != (endpointSets{}) {
		g.rule(c, "to this host", f.loadAddr(f.dstOff), lookupIn(sets.locals), accept())
	}
	g.drops(c, "from a real server", f.loadAddr(f.srcOff), f, p, srcPort, sets.servers)
}

// dropsData adds the rules that drop what goes to a port of FTP's data connections.
func (g *generation) dropsData(c *nftables.Chain, f ipFamily, p path, port uint32, addrs *nftables.Set) {
	for _, ports := range []expr.Any{
		compare(expr.CmpOpEq, wire(ftpDataPort)),
		compare(expr.CmpOpGte, wire(leastDataPort)),
	} {
		g.rule(c, "to a data port of FTP", f.loadAddr(f.dstOff), lookupIn(addrs),
			p.loadProto(unix.NFT_REG_1), compare(expr.CmpOpEq, []byte{protoTCP}),
			p.loadPort(port, unix.NFT_REG_1), ports, drop())
	}
}

// drops adds the rules that drop what has one end of its flow in the sets.
func (g *generation) drops(c *nftables.Chain, comment string, addr expr.Any, f ipFamily, p path, port uint32, sets endpointSets) {
	second := unix.NFT_REG32_00 + f.addrLen/4 // the register behind the address
	if sets.exact != nil {
		g.rule(c, comment,
			addr, p.loadPort(port, second), p.loadProto(second+1), lookupIn(sets.exact), drop())
	}
	if sets.anyPort != nil {
		// The port is only loaded because a packet without one ends the rule there.
		g.rule(c, comment+" on every port",
			addr, p.loadProto(second), p.loadPort(port, second+1), lookupIn(sets.anyPort), drop())
	}
}

// set adds a set of the elements, whose keys have the types one after the other. It
// returns nil without elements.
func (g *generation) set(name string, elements []nftables.SetElement, types ...nftables.SetDatatype) *nftables.Set {
	if len(elements) == 0 {
		return nil
	}
	// Not flagged as a concatenation: that is for intervals and needs Linux 5.6. The
	// size lets the kernel take its fixed hash table.
	s := &nftables.Set{Table: g.table, Name: name, KeyType: types[0], Size: uint32(len(elements))}
	if len(types) > 1 {
		key, err := nftables.ConcatSetType(types...)
		g.note(err)
		s.KeyType = key
	}
	if g.err == nil {
		g.note(g.conn.AddSet(s, nil))
	}
	for part := range slices.Chunk(elements, elementsPerMessage) {
		if g.err == nil {
			g.note(g.conn.SetAddElements(s, part))
		}
	}
	return s
}

// note keeps the first error.
func (g *generation) note(err error) {
	if g.err == nil && err != nil {
		g.err = fmt.Errorf("table netdev %s: %w", g.table.Name, err)
	}
}

// chain adds a chain without a hook.
func (g *generation) chain(name string) *nftables.Chain {
	return g.conn.AddChain(&nftables.Chain{Name: name, Table: g.table})
}

// hook sends what a device receives to the common chain.
func (g *generation) hook(d net.Interface, common *nftables.Chain) {
	c := g.conn.AddChain(&nftables.Chain{
		Name:     fmt.Sprintf("%s%d", chainDevice, d.Index),
		Table:    g.table,
		Type:     nftables.ChainTypeFilter,
		Hooknum:  nftables.ChainHookIngress,
		Priority: nftables.ChainPriorityRef(chainPriority),
		Device:   d.Name,
	})
	g.rule(c, d.Name, &expr.Verdict{Kind: expr.VerdictJump, Chain: common.Name})
}

// rule appends a rule to a chain. The comment is for those who list the ruleset.
func (g *generation) rule(c *nftables.Chain, comment string, exprs ...expr.Any) {
	g.conn.AddRule(&nftables.Rule{
		Table: g.table, Chain: c, Exprs: exprs,
		UserData: userdata.AppendString(nil, userdata.TypeComment, comment),
	})
}
