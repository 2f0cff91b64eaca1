package steer

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// tablePrefix and a number make the name of a table; each generation has the next
// number. A table is found again by this name.
const tablePrefix = "uvs_steer_"

// batchBytes bounds the netlink message of one generation: about 200 000 matches.
const batchBytes = 16 << 20

// batchTimeout ends the wait for acknowledgements. They are there when the kernel has
// taken a batch; one that it could not parse has fewer of them than messages.
const batchTimeout = 10 * time.Second

// nft steers by a table of the netdev family: its ingress hook meets the same frames
// as tcx, before fragments are reassembled and, unlike the prerouting hook, never the
// bridged frames that br_netfilter shows to IP. The cost is that of prerouting.
//
// A generation is one table, created whole by one batch. Only when it is in force are
// the older ones deleted: changing rules in place would need one table that is never
// between two states, while two tables that both drop cannot leave a gap.
type nft struct{}

// probe creates and deletes a table within one batch, so that nobody ever sees it.
func (t *nft) probe() error {
	err := probeTable()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("needs CAP_NET_ADMIN: %w", err)
	case nftMissing(err):
		return fmt.Errorf("needs Linux 4.14 or newer with CONFIG_NF_TABLES_NETDEV (running %s): %w", running(), err)
	}
	return fmt.Errorf("fails on Linux %s: %w", running(), err)
}

// probeTable tries everything that a generation is made of.
func probeTable() error {
	older, err := tables() // a kernel without nf_tables fails here, and never answers a batch
	if err != nil {
		return err
	}
	lo := net.Interface{Index: loopbackIndex, Name: "lo"}
	g, err := newGeneration(nextName(older))
	if err != nil {
		return err
	}
	if err := g.build(probeRules(), []net.Interface{lo}); err != nil {
		return err
	}
	g.conn.DelTable(g.table)
	return g.conn.Flush()
}

// nftMissing reports whether an error means that the kernel lacks netdev tables.
func nftMissing(err error) bool {
	for _, e := range []error{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// apply implements backend.
func (t *nft) apply(r Rules) error {
	r = r.plain()
	older, err := tables()
	if err != nil {
		return err
	}
	if !r.empty() {
		if err := create(nextName(older), r); err != nil {
			return err
		}
	}
	_, err = deleteTables(older)
	return err
}

// create puts a generation in force. A device that vanishes meanwhile makes the
// kernel refuse the batch, so that it is built again for the devices that are left.
func create(name string, r Rules) error {
	for {
		devices, err := present(r.Links)
		if err != nil || len(devices) == 0 {
			return err
		}
		g, err := newGeneration(name)
		if err != nil {
			return err
		}
		if err := g.build(r, devices); err != nil {
			return err
		}
		err = g.conn.Flush()
		if err == nil {
			return nil
		}
		left, errLeft := present(r.Links)
		if errLeft != nil || len(left) == len(devices) {
			return errors.Join(fmt.Errorf("table netdev %s: %w", name, err), errLeft)
		}
	}
}

// present returns the devices of the links that exist.
func present(links []int) ([]net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return slices.DeleteFunc(all, func(d net.Interface) bool { return !slices.Contains(links, d.Index) }), nil
}

// remove implements backend.
func (t *nft) remove() (removed []string, err error) {
	ours, err := tables()
	if nftMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return deleteTables(ours)
}

// close implements backend.
func (t *nft) close() error { return nil }

// tables returns the names of our tables.
func tables() ([]string, error) {
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	all, err := conn.ListTablesOfFamily(nftables.TableFamilyNetdev)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var ours []string
	for _, t := range all {
		if _, ok := generationOf(t.Name); ok {
			ours = append(ours, t.Name)
		}
	}
	return ours, nil
}

// deleteTables deletes tables by one batch.
func deleteTables(list []string) (removed []string, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	for _, name := range list {
		conn.DelTable(&nftables.Table{Name: name, Family: nftables.TableFamilyNetdev})
		removed = append(removed, "nft table netdev "+name)
	}
	if err := conn.Flush(); err != nil {
		return nil, fmt.Errorf("delete tables %s: %w", strings.Join(list, ", "), err)
	}
	return removed, nil
}

// nextName returns the name of the generation that follows the tables.
func nextName(older []string) string {
	last := uint64(0)
	for _, name := range older {
		n, _ := generationOf(name)
		last = max(last, n)
	}
	return tablePrefix + strconv.FormatUint(last+1, 10)
}

// generationOf returns the number in the name of a table of ours.
func generationOf(name string) (n uint64, ours bool) {
	digits, ok := strings.CutPrefix(name, tablePrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return n, err == nil
}

// dial returns a connection that opens its socket for each request, in the namespace
// of the calling thread.
func dial() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(
		func(c *netlink.Conn) error { return c.SetWriteBuffer(batchBytes) },
		func(c *netlink.Conn) error { return c.SetReadDeadline(time.Now().Add(batchTimeout)) },
	))
}
