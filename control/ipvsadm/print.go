package ipvsadm

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
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

// AppendVersion appends the line that precedes a listing of the whole table. Size
// is the connection hash size.
func AppendVersion(b []byte, size int) []byte {
	return fmt.Appendf(b, "IP Virtual Server version 1.2.1 (size=%d)\n", size)
}

// AppendTitle appends the two title lines of a service listing.
func AppendTitle(b []byte) []byte {
	return append(b, "Prot LocalAddress:Port Scheduler Flags\n"+
		"  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"...)
}

// Append appends the service's line and a line for each server, in the order that
// Servers has. Server lines end in blanks, as ipvsadm's do.
func (s *Service) Append(b []byte, n Names) []byte {
	b = s.appendName(b, n)
	b = append(append(b, ' '), s.Scheduler...)
	if len(s.Flags) > 0 {
		b = fmt.Appendf(b, " (%s)", strings.Join(s.Flags, ","))
	}
	if s.Persistent > 0 {
		b = s.appendPersistence(b)
	}
	if s.OPS {
		b = append(b, " ops"...)
	}
	b = append(b, '\n')
	for i := range s.Servers {
		d := &s.Servers[i]
		b = fmt.Appendf(b, "  -> %-28s %-7s %-6d %-10d %-10d\n",
			cutIPv4(addrText(d.Addr, s.Protocol, n), d.Addr.Addr(), serverWidth),
			d.Method, d.Weight, d.Active, d.Inactive)
	}
	return b
}

// appendName appends what comes before the scheduler.
func (s *Service) appendName(b []byte, n Names) []byte {
	if s.Fwmark != 0 {
		b = fmt.Appendf(b, "FWM  %d", s.Fwmark)
		if s.IPv6 {
			b = append(b, " IPv6"...)
		}
		return b
	}
	text := fmt.Sprintf("%-4s %s", s.Protocol, addrText(s.Addr, s.Protocol, n))
	return append(b, cutIPv4(text, s.Addr.Addr(), serviceWidth)...)
}

// appendPersistence appends timeout, mask and engine. Only a mask that is not a
// single client's is shown: IPv4 dotted, IPv6 as a length.
func (s *Service) appendPersistence(b []byte) []byte {
	b = fmt.Appendf(b, " persistent %d", s.Persistent/time.Second)
	switch {
	case s.family() == 6 && s.MaskBits != 128:
		b = fmt.Appendf(b, " mask %d", s.MaskBits)
	case s.family() == 4 && s.MaskBits != 32:
		all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
		mask, _ := all.Prefix(s.MaskBits) // the zero Prefix only out of range
		b = fmt.Appendf(b, " mask %s", mask.Addr())
	}
	if s.PE != "" {
		b = append(append(b, " pe "...), s.PE...)
	}
	return b
}

// AppendConnectionTitle appends the two title lines of the connection listing.
func AppendConnectionTitle(b []byte) []byte {
	return append(b, "IPVS connection entries\n"+
		"pro expire state       source             virtual            destination\n"...)
}

// Append appends the connection's line.
func (c *Connection) Append(b []byte, n Names) []byte {
	seconds := int(c.Expires / time.Second)
	p := protocolNamed(c.Protocol)
	return fmt.Appendf(b, "%-3s %-6s %-11s %-18s %-18s %s\n",
		c.Protocol, fmt.Sprintf("%02d:%02d", seconds/60, seconds%60), c.State,
		addrText(c.Client, p, n), addrText(c.Virtual, p, n), addrText(c.Server, p, n))
}

// protocolNamed is the reverse of Protocol.String, 0 for any other name.
func protocolNamed(name string) Protocol {
	for _, p := range []Protocol{TCP, UDP, SCTP} {
		if p.String() == name {
			return p
		}
	}
	return 0
}

// addrText returns "address:port", or with n the names for both, with an IPv6
// address in brackets.
func addrText(a netip.AddrPort, p Protocol, n Names) string {
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
	Port(port uint16, p Protocol) string
}

// Numeric is what -n asks for.
type Numeric struct{}

// Host returns a in numbers.
func (Numeric) Host(a netip.Addr) string { return hostText(a) }

// Port returns port in decimal.
func (Numeric) Port(port uint16, _ Protocol) string { return strconv.Itoa(int(port)) }
