package ipvsadm

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"time"
)

// Protocol is an IP protocol number.
type Protocol int

// The protocols that services may have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the name as ipvsadm prints it.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return "?"
}

// Key names a service: by firewall mark, or by protocol, address and port.
type Key struct {
	// Fwmark is the mark, 0 for a service that has an address.
	Fwmark uint32
	// IPv6 is the address family of a service that has a mark.
	IPv6     bool
	Protocol Protocol
	Addr     netip.AddrPort
}

// family orders IPv4 before IPv6.
func (k Key) family() int {
	if k.IPv6 || k.Addr.Addr().Is6() {
		return 6
	}
	return 4
}

// Service is one virtual service of a listing.
type Service struct {
	Key
	Scheduler string
	// Flags are the scheduler's flags, by name.
	Flags []string
	// Persistent is the persistence timeout in whole seconds, 0 if connections do not
	// persist; only then do MaskBits (32 or 128 for single clients) and PE (the
	// persistence engine, usually none) count.
	Persistent time.Duration
	MaskBits   int
	PE         string
	// OPS is one-packet scheduling.
	OPS     bool
	Servers []Server
}

// Method is a forwarding method as the listing names it.
type Method string

// The forwarding methods. Local stands in place of any other when the server's
// address is the director's own.
const (
	Masq   Method = "Masq"
	Local  Method = "Local"
	Tunnel Method = "Tunnel"
	Route  Method = "Route"
)

// Server is one real server of a listing.
type Server struct {
	Addr             netip.AddrPort
	Method           Method
	Weight           int
	Active, Inactive uint64
}

// Connection is one line of the connection listing.
type Connection struct {
	// Protocol is "IP" for templates of services with a firewall mark, which then
	// stands in the place of the virtual address.
	Protocol string
	State    string
	Expires  time.Duration
	// Client has port 0 in a template.
	Client, Virtual, Server netip.AddrPort
}

// sortServices puts services in ipvsadm's order.
func sortServices(s []Service) {
	mergeSort(s, func(a, b *Service) int {
		return cmp.Or(
			int(int32(a.Fwmark-b.Fwmark)),
			a.family()-b.family(),
			int(a.Protocol-b.Protocol),
			compareAddr(a.Addr.Addr(), b.Addr.Addr()),
			int(a.Addr.Port())-int(b.Addr.Port()),
		)
	})
}

// sortServers puts the servers of a service in ipvsadm's order.
func sortServers(s []Server) {
	mergeSort(s, func(a, b *Server) int {
		return cmp.Or(compareAddr(a.Addr.Addr(), b.Addr.Addr()), int(a.Addr.Port())-int(b.Addr.Port()))
	})
}

// compareAddr compares as libipvs does: by the sign of the 32-bit difference, so
// that 10.0.0.1 comes after 192.168.0.1 (the difference wraps). IPv6 addresses are
// compared so word by word.
func compareAddr(a, b netip.Addr) int {
	if a.Is4() && b.Is4() {
		a4, b4 := a.As4(), b.As4()
		return compareWord(a4[:], b4[:])
	}
	a16, b16 := a.As16(), b.As16()
	for i := 0; i < 16; i += 4 {
		if c := compareWord(a16[i:], b16[i:]); c != 0 {
			return c
		}
	}
	return 0
}

func compareWord(a, b []byte) int {
	return int(int32(binary.BigEndian.Uint32(a) - binary.BigEndian.Uint32(b)))
}

// mergeSort sorts as glibc's qsort(3) does up to 2.36. compareAddr is not
// transitive (10.0.0.1 < 100.64.0.1 < 192.168.0.1 < 10.0.0.1), so the order depends
// on which elements are compared, and another algorithm gives another listing.
func mergeSort[T any](s []T, compare func(a, b *T) int) {
	if len(s) < 2 {
		return
	}
	half := len(s) / 2
	mergeSort(s[:half], compare)
	mergeSort(s[half:], compare)
	left, right := append([]T(nil), s[:half]...), s[half:]
	for i := 0; len(left) > 0; i++ {
		if len(right) == 0 || compare(&left[0], &right[0]) <= 0 {
			s[i], left = left[0], left[1:]
		} else {
			s[i], right = right[0], right[1:]
		}
	}
}
