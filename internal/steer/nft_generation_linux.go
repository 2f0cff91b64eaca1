package steer

import (
	"fmt"
	"net"
	"net/netip"
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
		c := g.chain(chainCommon + f.suffix)
		g.rule(common, f.name, loadMeta(expr.MetaKeyPROTOCOL, unix.NFT_REG_1),
			compare(expr.CmpOpEq, wire(f.etherType)), goTo(c))
		g.family(c, f, r)
	}
	for _, d := range devices {
		g.hook(d, common)
	}
	return g.err
}

// family fills the chain of one address family.
func (g *generation) family(c *nftables.Chain, f ipFamily, r Rules) {
	for _, guard := range f.guards() {
		g.rule(c, guard.comment, append(guard.when, accept())...)
	}
	g.drops(c, f, endpoint{"services", "to a virtual service", f.dstOff, 2}, f.ofMatches(r.Services))
	servers, locals := f.ofMatches(r.Servers), f.ofAddrs(r.Locals)
	if len(servers) > 0 && len(locals) > 0 {
		g.locals(c, f, locals)
	}
	g.drops(c, f, endpoint{"servers", "from a real server", f.srcOff, 0}, servers)
}

// An endpoint is the end of a flow that rules look at.
type endpoint struct {
	set     string // beginning of the names of its sets
	comment string
	addrOff uint32 // in the IP header
	portOff uint32 // in the TCP or UDP header
}

// drops adds a rule that drops what has the end of its flow in the list, and one more
// for the entries with every port.
func (g *generation) drops(c *nftables.Chain, f ipFamily, end endpoint, list []Match) {
	var exact, anyPort []nftables.SetElement
	for _, m := range list {
		addr, proto := m.Addr.AsSlice(), []byte{m.Proto, 0, 0, 0} // fields fill four bytes each
		if m.anyPort() {
			anyPort = append(anyPort, nftables.SetElement{Key: slices.Concat(addr, proto)})
			continue
		}
		port := append(wire(m.Port), 0, 0)
		exact = append(exact, nftables.SetElement{Key: slices.Concat(addr, port, proto)})
	}
	loadAddr := load(expr.PayloadBaseNetworkHeader, end.addrOff, f.addrLen, unix.NFT_REG_1)
	second := unix.NFT_REG32_00 + f.addrLen/4 // the register behind the address
	if len(exact) > 0 {
		s := g.set(end.set+f.suffix, exact, f.addrType, nftables.TypeInetService, nftables.TypeInetProto)
		g.rule(c, end.comment, loadAddr,
			load(expr.PayloadBaseTransportHeader, end.portOff, 2, second),
			loadMeta(expr.MetaKeyL4PROTO, second+1), lookupIn(s), drop())
	}
	if len(anyPort) > 0 {
		s := g.set(end.set+f.suffix+"_any", anyPort, f.addrType, nftables.TypeInetProto)
		g.rule(c, end.comment+" on every port", loadAddr,
			loadMeta(expr.MetaKeyL4PROTO, second), lookupIn(s), drop())
	}
}

// locals adds a rule that leaves frames to this host with the stack.
func (g *generation) locals(c *nftables.Chain, f ipFamily, list []netip.Addr) {
	var elements []nftables.SetElement
	for _, a := range list {
		elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
	}
	s := g.set("locals"+f.suffix, elements, f.addrType)
	g.rule(c, "to this host",
		load(expr.PayloadBaseNetworkHeader, f.dstOff, f.addrLen, unix.NFT_REG_1), lookupIn(s), accept())
}

// set adds a set of the elements, whose keys have the types one after the other.
func (g *generation) set(name string, elements []nftables.SetElement, types ...nftables.SetDatatype) *nftables.Set {
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
