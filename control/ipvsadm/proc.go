package ipvsadm

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"net/netip"

	"uvs/control"
)

// ticksPerSecond is the clock that /proc/net/ip_vs gives persistence timeouts in: CONFIG_HZ,
// here that of Debian's kernels.
const ticksPerSecond = 250

// ProcFiles are the names that Proc knows.
func ProcFiles() []string {
	return []string{"ip_vs", "ip_vs_conn", "ip_vs_stats", "ip_vs_stats_percpu"}
}

// Proc writes what IPVS shows in the file of /proc/net with that name, for the programs
// that read these files. The totals are those of the services in the table; a file of
// counts per processor has one processor.
func Proc(ctx context.Context, w io.Writer, t Table, name string) error {
	if name == "ip_vs_conn" {
		return procConnections(ctx, w, t)
	}
	l, err := t.Services(ctx)
	if err != nil {
		return err
	}
	var b []byte
	switch name {
	case "ip_vs":
		b = appendProcTable(nil, l)
	case "ip_vs_stats":
		b = appendProcStats(nil, l)
	case "ip_vs_stats_percpu":
		b = appendProcStatsPerCPU(nil, l)
	default:
		return fmt.Errorf("%q is none of IPVS's files in /proc/net (have: %v)", name, ProcFiles())
	}
	_, err = w.Write(b)
	return err
}

// appendProcTable is ip_vs_info_seq_show.
func appendProcTable(b []byte, l control.ServiceList) []byte {
	b = AppendVersion(b, l.TableSize)
	b = append(b, "Prot LocalAddress:Port Scheduler Flags\n"+
		"  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"...)
	for _, s := range ordered(l.Services, false) {
		ops := ""
		if s.OnePacket {
			ops = "ops "
		}
		switch {
		case s.Fwmark != 0:
			b = fmt.Appendf(b, "FWM  %08X %s %s", s.Fwmark, s.Scheduler, ops)
		case s.Address.Is6():
			b = fmt.Appendf(b, "%s  [%s]:%04X %s ", protocolName(s.Protocol), hexAddr(s.Address), s.Port, s.Scheduler)
		default:
			b = fmt.Appendf(b, "%s  %s:%04X %s %s ", protocolName(s.Protocol), hexAddr(s.Address), s.Port, s.Scheduler, ops)
		}
		if s.Persistence > 0 {
			b = fmt.Appendf(b, "persistent %d %08X", s.Persistence*ticksPerSecond, procMask(s))
		}
		b = append(b, '\n')
		for j := range s.Servers {
			d := &s.Servers[j]
			if !d.InTable() {
				continue
			}
			addr := hexAddr(d.Address)
			if d.Address.Is6() {
				addr = "[" + addr + "]"
			}
			b = fmt.Appendf(b, "  -> %s:%04X      %-7s %-6d %-10d %-10d\n",
				addr, d.Port, methodName(d.Method), d.EffectiveWeight, d.Active, d.Inactive)
		}
	}
	return b
}

// procMask is the netmask in host order, of IPv6 the prefix length with its bytes swapped,
// as the kernel prints both.
func procMask(s *control.Service) uint32 {
	if family(s) == 6 {
		length := uint32(128)
		if s.Netmask != "" {
			length = uint32(leadingNumber(s.Netmask))
		}
		return bits.ReverseBytes32(length)
	}
	mask, err := netip.ParseAddr(s.Netmask)
	if err != nil || !mask.Is4() {
		return 1<<32 - 1
	}
	m := mask.As4()
	return binary.BigEndian.Uint32(m[:])
}

// hexAddr is an address in hexadecimal: "C000020A", "2001:0db8:0000:…".
func hexAddr(a netip.Addr) string {
	if a.Is4() {
		return fmt.Sprintf("%08X", a.As4())
	}
	return a.WithZone("").StringExpanded()
}

// sum is the counters and rates of all services.
func sum(l control.ServiceList) (c control.Counters, r control.Rates) {
	for i := range l.Services {
		s := &l.Services[i]
		c.Conns += s.Counters.Conns
		c.InPackets += s.Counters.InPackets
		c.OutPackets += s.Counters.OutPackets
		c.InBytes += s.Counters.InBytes
		c.OutBytes += s.Counters.OutBytes
		r.Conns += s.Rates.Conns
		r.InPackets += s.Rates.InPackets
		r.OutPackets += s.Rates.OutPackets
		r.InBytes += s.Rates.InBytes
		r.OutBytes += s.Rates.OutBytes
	}
	return c, r
}

// appendProcStats is ip_vs_stats_show.
func appendProcStats(b []byte, l control.ServiceList) []byte {
	c, r := sum(l)
	b = append(b, "   Total Incoming Outgoing         Incoming         Outgoing\n"+
		"   Conns  Packets  Packets            Bytes            Bytes\n"...)
	b = fmt.Appendf(b, "%8X %8X %8X %16X %16X\n\n", c.Conns, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes)
	b = append(b, " Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"...)
	return fmt.Appendf(b, "%8X %8X %8X %16X %16X\n", r.Conns, r.InPackets, r.OutPackets, r.InBytes, r.OutBytes)
}

// appendProcStatsPerCPU is ip_vs_stats_percpu_show.
func appendProcStatsPerCPU(b []byte, l control.ServiceList) []byte {
	c, r := sum(l)
	b = append(b, "       Total Incoming Outgoing         Incoming         Outgoing\n"+
		"CPU    Conns  Packets  Packets            Bytes            Bytes\n"...)
	for _, cpu := range []string{"0", "~"} {
		b = fmt.Appendf(b, "%3s %8X %8X %8X %16X %16X\n", cpu, c.Conns, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes)
	}
	b = append(b, "\n     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"...)
	return fmt.Appendf(b, "    %8X %8X %8X %16X %16X\n", r.Conns, r.InPackets, r.OutPackets, r.InBytes, r.OutBytes)
}

// procConnections is ip_vs_conn_seq_show.
func procConnections(ctx context.Context, w io.Writer, t Table) error {
	b := []byte("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n")
	if _, err := w.Write(b); err != nil {
		return err
	}
	return t.Connections(ctx, func(c control.Connection) error {
		b = fmt.Appendf(b[:0], "%-3s %s %04X %s %04X %s %04X %-11s %7d", protocolName(c.Protocol),
			hexAddr(c.Client.Addr()), c.Client.Port(), hexAddr(c.Virtual.Addr()), c.Virtual.Port(),
			hexAddr(c.Server.Addr()), c.Server.Port(), c.State, int64(c.Expires.Duration().Seconds()))
		if c.PersistenceEngine != "" {
			b = fmt.Appendf(b, " %s %s", c.PersistenceEngine, c.PersistenceData)
		}
		b = append(b, '\n')
		_, err := w.Write(b)
		return err
	})
}
