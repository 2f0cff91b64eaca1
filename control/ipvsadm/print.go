package ipvsadm

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"uvs/control"
)

// Version is the line of -v and the first line of -h.
const Version = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)"

// Where ipvsadm cuts: the text of IPv4 services with their protocol, of IPv4
// servers, and of every address with its port.
const (
	serviceWidth = 33
	serverWidth  = 28
	addrWidth    = 59
)

// A Format is what a listing of services shows.
type Format int

// The formats, each with the option that asks for it.
const (
	Plain          Format = iota
	Stats                 // --stats
	StatsExact            // --stats --exact
	Rate                  // --rate
	RateExact             // --rate --exact
	Thresholds            // --thresholds
	PersistentConn        // --persistent-conn
	TunInfo               // --tun-info
)

// AppendVersion appends the line that precedes a listing of the whole table. Size
// is the connection hash size.
func AppendVersion(b []byte, size int) []byte {
	return fmt.Appendf(b, "IP Virtual Server version 1.2.1 (size=%d)\n", size)
}

// AppendTitle appends the two title lines.
func (f Format) AppendTitle(b []byte) []byte {
	switch f {
	case Stats, StatsExact:
		return append(b, "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n"+
			"  -> RemoteAddress:Port\n"...)
	case Rate, RateExact:
		return append(b, "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n"+
			"  -> RemoteAddress:Port\n"...)
	case Thresholds:
		return append(b, "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n"+
			"  -> RemoteAddress:Port\n"...)
	case PersistentConn:
		return append(b, "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n"+
			"  -> RemoteAddress:Port\n"...)
	case TunInfo:
		return append(b, "Prot LocalAddress:Port Scheduler Flags\n"+
			"  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n"...)
	}
	return append(b, "Prot LocalAddress:Port Scheduler Flags\n"+
		"  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"...)
}

// Append appends the line of a service and one for each of its servers that is in the
// table, in the order that they have. Lines of servers end in blanks, as ipvsadm's do.
func (f Format) Append(b []byte, s *control.Service, n Names) []byte {
	switch f {
	case Stats, StatsExact, Rate, RateExact:
		b = fmt.Appendf(b, "%-*s", serviceWidth, serviceName(s, n))
		b = f.appendNumbers(b, s.Counters, s.Rates)
	default:
		b = append(append(b, serviceName(s, n)...), ' ')
		b = appendSettings(b, s)
	}
	b = append(b, '\n')
	for i := range s.Servers {
		d := &s.Servers[i]
		if !d.InTable() {
			continue
		}
		addr := netip.AddrPortFrom(d.Address, d.Port)
		b = fmt.Appendf(b, "  -> %-*s", serverWidth, cutIPv4(addrText(addr, s.Protocol, n), d.Address, serverWidth))
		b = f.appendServer(b, d)
		b = append(b, '\n')
	}
	return b
}

// appendServer appends what follows a server's address.
func (f Format) appendServer(b []byte, d *control.Server) []byte {
	switch f {
	case Stats, StatsExact, Rate, RateExact:
		return f.appendNumbers(b, d.Counters, d.Rates)
	case Thresholds:
		return fmt.Appendf(b, " %-10d %-10d %-10d %-10d", d.UpperThreshold, d.LowerThreshold, d.Active, d.Inactive)
	case PersistentConn:
		return fmt.Appendf(b, " %-9d %-11d %-10d %-10d", d.EffectiveWeight, d.Persistent, d.Active, d.Inactive)
	case TunInfo:
		return fmt.Appendf(b, " %-7s %-13s %-6d %-10d %-10d", methodName(d.Method), tunnelInfo(d.Tunnel), d.EffectiveWeight, d.Active, d.Inactive)
	}
	return fmt.Appendf(b, " %-7s %-6d %-10d %-10d", methodName(d.Method), d.EffectiveWeight, d.Active, d.Inactive)
}

// appendNumbers appends the five columns of counters or rates.
func (f Format) appendNumbers(b []byte, c control.Counters, r control.Rates) []byte {
	numbers := [5]uint64{c.Conns, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes}
	if f == Rate || f == RateExact {
		numbers = [5]uint64{r.Conns, r.InPackets, r.OutPackets, r.InBytes, r.OutBytes}
	}
	for _, v := range numbers {
		if f == StatsExact || f == RateExact {
			b = fmt.Appendf(b, " %8d", v)
		} else {
			b = fmt.Appendf(b, " %8s", shortNumber(v))
		}
	}
	return b
}

// shortNumber is v in at most eight characters where that can be, cut and not rounded.
func shortNumber(v uint64) string {
	for _, step := range []struct {
		below, unit uint64
		suffix      string
	}{{1e8, 1, ""}, {1e9, 1e3, "K"}, {1e11, 1e6, "M"}, {1e14, 1e9, "G"}} {
		if v < step.below {
			return strconv.FormatUint(v/step.unit, 10) + step.suffix
		}
	}
	return strconv.FormatUint(v/1e12, 10) + "T"
}

// serviceName is what comes before the scheduler: protocol and address, or the mark.
func serviceName(s *control.Service, n Names) string {
	if s.Fwmark != 0 {
		text := fmt.Sprintf("FWM  %d", int32(s.Fwmark)) // large marks are negative there
		if s.IPv6 {
			text += " IPv6"
		}
		return text
	}
	text := fmt.Sprintf("%-4s %s", protocolName(s.Protocol), addrText(netip.AddrPortFrom(s.Address, s.Port), s.Protocol, n))
	return cutIPv4(text, s.Address, serviceWidth)
}

// appendSettings appends the scheduler and what follows it. Only a mask that is not a
// single client's is shown.
func appendSettings(b []byte, s *control.Service) []byte {
	b = append(b, s.Scheduler...)
	if len(s.Flags) > 0 {
		b = fmt.Appendf(b, " (%s)", shownFlags(s))
	}
	if s.Persistence > 0 {
		b = fmt.Appendf(b, " persistent %d", s.Persistence)
		if s.Netmask != "" {
			b = fmt.Appendf(b, " mask %s", s.Netmask)
		}
		if s.PersistenceEngine != "" {
			b = fmt.Appendf(b, " pe %s", s.PersistenceEngine)
		}
	}
	if s.OnePacket {
		b = append(b, " ops"...)
	}
	return b
}

// shownFlags are the flags between commas: of sh and mh only those with names of their own.
func shownFlags(s *control.Service) string {
	if s.Scheduler != "sh" && s.Scheduler != "mh" {
		return strings.Join(s.Flags, ",")
	}
	var own []string
	for _, f := range s.Flags {
		if !strings.HasPrefix(f, "flag-") {
			own = append(own, f)
		}
	}
	return strings.Join(own, ",")
}

// tunnelInfo is a tunnel in short: "ipip", "gue:6080:+c", "gre:-c".
func tunnelInfo(t *control.Tunnel) string {
	if t == nil {
		return "n/a"
	}
	check := map[string]string{"nocsum": "-c", "csum": "+c", "remcsum": "r+c"}[t.Checksum]
	switch t.Type {
	case "gue":
		return fmt.Sprintf("gue:%d:%s", t.Port, check)
	case "gre":
		return "gre:" + check
	}
	return t.Type
}

// AppendRules appends the commands that make a service and its servers. Thresholds, which
// ipvsadm forgets, are among them only if asked for.
func AppendRules(b []byte, s *control.Service, n Names, thresholds bool) []byte {
	name := ruleName(s, n)
	b = fmt.Appendf(b, "-A %s -s %s", name, s.Scheduler)
	if s.Persistence > 0 {
		b = fmt.Appendf(b, " -p %d", s.Persistence)
		if s.Netmask != "" {
			b = fmt.Appendf(b, " -M %s", s.Netmask)
		}
	}
	if s.PersistenceEngine != "" {
		b = fmt.Appendf(b, " --pe %s", s.PersistenceEngine)
	}
	if s.OnePacket {
		b = append(b, " -o"...)
	}
	if len(s.Flags) > 0 {
		b = fmt.Appendf(b, " -b %s", shownFlags(s))
	}
	b = append(b, '\n')
	for i := range s.Servers {
		d := &s.Servers[i]
		if !d.InTable() {
			continue
		}
		addr := netip.AddrPortFrom(d.Address, d.Port)
		b = fmt.Appendf(b, "-a %s -r %s %s -w %d", name, addrText(addr, s.Protocol, n), methodOption(d.Method), d.EffectiveWeight)
		if d.Tunnel != nil {
			b = appendTunnelOptions(b, d.Tunnel)
		}
		if thresholds && d.UpperThreshold > 0 {
			b = fmt.Appendf(b, " -x %d -y %d", d.UpperThreshold, d.LowerThreshold)
		}
		b = append(b, '\n')
	}
	return b
}

// ruleName names a service as the options of a command.
func ruleName(s *control.Service, n Names) string {
	if s.Fwmark != 0 {
		text := fmt.Sprintf("-f %d", int32(s.Fwmark)) // which -A refuses: that is the real one's, too
		if s.IPv6 {
			text += " -6"
		}
		return text
	}
	option := map[control.Protocol]string{control.TCP: "-t", control.UDP: "-u", control.SCTP: "--sctp-service"}[s.Protocol]
	return option + " " + addrText(netip.AddrPortFrom(s.Address, s.Port), s.Protocol, n)
}

func appendTunnelOptions(b []byte, t *control.Tunnel) []byte {
	b = fmt.Appendf(b, " --tun-type %s", t.Type)
	if t.Type == "gue" {
		b = fmt.Appendf(b, " --tun-port %d", t.Port)
	}
	if t.Type != "ipip" {
		b = fmt.Appendf(b, " --tun-%s", t.Checksum)
	}
	return b
}

// AppendConnectionTitle appends the two title lines of the connection listing, with
// columns for persistence engines if they are asked for.
func AppendConnectionTitle(b []byte, engines bool) []byte {
	b = append(b, "IPVS connection entries\n"+
		"pro expire state       source             virtual            destination"...)
	if engines {
		b = append(b, "        pe name          pe_data"...)
	}
	return append(b, '\n')
}

// AppendConnection appends the connection's line.
func AppendConnection(b []byte, c *control.Connection, n Names, engines bool) []byte {
	seconds := int(c.Expires.Duration().Seconds())
	server := addrText(c.Server, c.Protocol, n)
	b = fmt.Appendf(b, "%-3s %-6s %-11s %-18s %-18s ",
		protocolName(c.Protocol), fmt.Sprintf("%02d:%02d", seconds/60, seconds%60), c.State,
		addrText(c.Client, c.Protocol, n), addrText(c.Virtual, c.Protocol, n))
	if engines && c.PersistenceEngine != "" {
		return fmt.Appendf(b, "%-16s %-18s %s\n", server, c.PersistenceEngine, c.PersistenceData)
	}
	return append(append(b, server...), '\n')
}

// protocolName is the name in listings.
func protocolName(p control.Protocol) string { return strings.ToUpper(string(p)) }

// methodName is the name in listings.
func methodName(m control.Method) string {
	switch m {
	case control.NAT:
		return "Masq"
	case control.TUN:
		return "Tunnel"
	}
	return "Route"
}

// methodOption is the option for a command.
func methodOption(m control.Method) string {
	switch m {
	case control.NAT:
		return "-m"
	case control.TUN:
		return "-i"
	}
	return "-g"
}

// addrText returns "address:port", or with n the names for both, with an IPv6
// address in brackets.
func addrText(a netip.AddrPort, p control.Protocol, n Names) string {
	host, port := n.Host(a.Addr()), n.Port(a.Port(), p)
	if a.Addr().Is6() {
		host = "[" + host + "]"
	}
	text := host + ":" + port
	return text[:min(len(text), addrWidth)]
}

// cutIPv4 cuts text to width if it belongs to an IPv4 address.
func cutIPv4(text string, a netip.Addr, width int) string {
	if a.Is4() && len(text) > width {
		return text[:width]
	}
	return text
}

// hostText prints an address as inet_ntop(3) does. It differs from netip for the
// old IPv4-compatible addresses, whose last half is printed dotted.
func hostText(a netip.Addr) string {
	if a.Is6() {
		b := a.As16()
		if [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
			return "::" + netip.AddrFrom4([4]byte(b[12:])).String()
		}
	}
	return a.WithZone("").String()
}

// Names prints addresses and ports: as numbers, or as the names they have.
type Names interface {
	// Host returns the text of an address, without brackets.
	Host(a netip.Addr) string
	// Port returns the text of a port.
	Port(port uint16, p control.Protocol) string
}

// Numeric is what -n asks for.
type Numeric struct{}

// Host returns a in numbers.
func (Numeric) Host(a netip.Addr) string { return hostText(a) }

// Port returns port in decimal.
func (Numeric) Port(port uint16, _ control.Protocol) string { return strconv.Itoa(int(port)) }
