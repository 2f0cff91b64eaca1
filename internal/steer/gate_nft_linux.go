package steer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// gateTable is the table of closed addresses, in the family inet, and gatePriority that of its
// chain: ahead of the rules of others (0), as keepalived's.
const (
	gateTable    = "uvs_no_accept"
	gatePriority = -1
)

// nftGate is a table with a chain at the hook input and sets of addresses. Addresses come and go
// in the sets, which takes no grace period of the kernel.
type nftGate struct{}

// set implements gatekeeper.
func (k nftGate) set(from, to Closed) error {
	there, err := k.there()
	if err != nil {
		return err
	}
	if there && from.Ready && slices.Equal(from.Open, to.Open) {
		if from.equal(to) {
			return nil
		}
		if k.change(from, to) == nil {
			return nil
		}
		// Somebody has changed the sets.
	}
	return k.replace(to)
}

// there reports whether the table is.
func (nftGate) there() (bool, error) {
	conn, err := dial()
	if err != nil {
		return false, err
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("list tables: %w", err)
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == gateTable }), nil
}

// replace puts a new table in the place of what is there, by one batch.
func (nftGate) replace(to Closed) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	g := &generation{conn: conn, table: &nftables.Table{Name: gateTable, Family: nftables.TableFamilyINet}}
	conn.AddTable(g.table) // so that there is one to delete
	conn.DelTable(g.table)
	conn.AddTable(g.table)
	if err := g.buildGate(to); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("table inet %s: %w", gateTable, err)
	}
	return nil
}

// change brings the sets from one Closed to another, by one batch.
func (nftGate) change(from, to Closed) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: gateTable, Family: nftables.TableFamilyINet}
	for _, s := range gateSets() {
		set := &nftables.Set{Table: table, Name: s.name, KeyType: s.keyType()}
		if come := s.elements(without(to.Addrs, from.Addrs)); len(come) > 0 {
			err = errors.Join(err, conn.SetAddElements(set, come))
		}
		if gone := s.elements(without(from.Addrs, to.Addrs)); len(gone) > 0 {
			err = errors.Join(err, conn.SetDeleteElements(set, gone))
		}
	}
	if err != nil {
		return err
	}
	return conn.Flush()
}

// remove implements gatekeeper.
func (k nftGate) remove() ([]string, error) {
	there, err := k.there()
	if nftMissing(err) {
		return nil, nil
	}
	if err != nil || !there {
		return nil, err
	}
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	conn.DelTable(&nftables.Table{Name: gateTable, Family: nftables.TableFamilyINet})
	if err := conn.Flush(); err != nil {
		return nil, fmt.Errorf("delete table inet %s: %w", gateTable, err)
	}
	return []string{"nft table inet " + gateTable}, nil
}

// A gateSet is a set of closed addresses: of one family, and with or without their device.
type gateSet struct {
	name   string
	family ipFamily
	linked bool
	proto  byte // as nftables numbers the family
}

func gateSets() []gateSet {
	f := families()
	return []gateSet{
		{"addrs4", f[0], false, unix.NFPROTO_IPV4}, {"addrs4_link", f[0], true, unix.NFPROTO_IPV4},
		{"addrs6", f[1], false, unix.NFPROTO_IPV6}, {"addrs6_link", f[1], true, unix.NFPROTO_IPV6},
	}
}

// keyType is the type of the set's keys.
func (s gateSet) keyType() nftables.SetDatatype {
	if !s.linked {
		return s.family.addrType
	}
	return nftables.MustConcatSetType(s.family.addrType, nftables.TypeIFIndex)
}

// elements are those of the addresses that belong into the set.
func (s gateSet) elements(addrs []ClosedAddr) (list []nftables.SetElement) {
	for _, a := range addrs {
		if !s.family.has(a.Addr) || s.linked != (a.Link != 0) {
			continue
		}
		key := a.Addr.AsSlice()
		if s.linked {
			key = binary.NativeEndian.AppendUint32(key, uint32(a.Link))
		}
		list = append(list, nftables.SetElement{Key: key})
	}
	return list
}

// buildGate adds Closed.Refuses to the batch.
func (g *generation) buildGate(c Closed) error {
	policy := nftables.ChainPolicyAccept
	in := g.conn.AddChain(&nftables.Chain{
		Name: "input", Table: g.table, Type: nftables.ChainTypeFilter, Policy: &policy,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRef(gatePriority),
	})
	for _, link := range c.Open {
		g.rule(in, "open device", loadMeta(expr.MetaKeyIIF, unix.NFT_REG_1),
			compare(expr.CmpOpEq, binary.NativeEndian.AppendUint32(nil, uint32(link))), accept())
	}
	for _, kind := range []byte{ndSolicitation, ndAdvertisement} {
		g.rule(in, "neighbour discovery",
			loadMeta(expr.MetaKeyNFPROTO, unix.NFT_REG_1), compare(expr.CmpOpEq, []byte{unix.NFPROTO_IPV6}),
			loadMeta(expr.MetaKeyL4PROTO, unix.NFT_REG_1), compare(expr.CmpOpEq, []byte{protoICMPv6}),
			load(expr.PayloadBaseTransportHeader, 0, 1, unix.NFT_REG_1), compare(expr.CmpOpEq, []byte{kind}), accept())
	}
	for _, s := range gateSets() {
		set := &nftables.Set{Table: g.table, Name: s.name, KeyType: s.keyType()}
		g.note(g.conn.AddSet(set, s.elements(c.Addrs)))
		exprs := []expr.Any{
			loadMeta(expr.MetaKeyNFPROTO, unix.NFT_REG_1), compare(expr.CmpOpEq, []byte{s.proto}),
			s.family.loadAddr(s.family.dstOff),
		}
		if s.linked {
			exprs = append(exprs, loadMeta(expr.MetaKeyIIF, unix.NFT_REG32_00+s.family.addrLen/4)) // behind the address
		}
		g.rule(in, "only for routing", append(exprs, lookupIn(set), drop())...)
	}
	return g.err
}
