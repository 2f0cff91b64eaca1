package table

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// IP protocol numbers of services.
const (
	TCP  = 6
	UDP  = 17
	SCTP = 132
)

// A Key names a virtual service: by firewall mark and family, or by protocol, address and port.
type Key struct {
	Fwmark   uint32 // 0 for a service that has an address
	IPv6     bool   // the family of a service that has a mark
	Protocol uint8  // TCP, UDP or SCTP; 0 for a mark
	Addr     netip.Addr
	Port     uint16 // 0: every port of the address
}

// String returns the key in keepalived's notation: [192.0.2.10]:tcp:80, or FWM 7.
func (k Key) String() string {
	if k.Fwmark != 0 {
		return fmt.Sprintf("FWM %d", k.Fwmark)
	}
	return EndName(netip.AddrPortFrom(k.Addr, k.Port), k.Protocol)
}

// EndName is keepalived's name of a server: "[192.0.2.1]:tcp:80", or "[192.0.2.1]:none:80" for one of a mark, whose protocol
// is 0.
func EndName(a netip.AddrPort, protocol uint8) string {
	word := map[uint8]string{0: "none", TCP: "tcp", UDP: "udp", SCTP: "sctp"}[protocol]
	return fmt.Sprintf("[%s]:%s:%d", a.Addr(), word, a.Port())
}

// v6 reports whether the service is of IPv6.
func (k Key) v6() bool { return k.IPv6 || k.Addr.Is6() }

// Flags are a scheduler's flags with the kernel's values (IP_VS_SVC_F_SCHED1 to 3).
type Flags uint16

// The flags: sh-fallback and mh-fallback, sh-port and mh-port, flag-3.
const (
	Flag1 Flags = 0x08
	Flag2 Flags = 0x10
	Flag3 Flags = 0x20
)

// ServiceSettings are what can be configured of a service.
type ServiceSettings struct {
	Scheduler string
	Flags     Flags
	// Persistence is 1 s to 31 days, 0 for none.
	Persistence time.Duration
	// Netmask is the mask of clients that persist together, for IPv4 in the first four
	// bytes; the zero value is each client for itself.
	Netmask   [16]byte
	Together  bool   // the mask is 0.0.0.0: all clients persist together; Netmask is zero
	Engine    string // of persistence: "sip" or ""
	OnePacket bool
}

// A Method is how packets reach a server.
type Method uint8

// The methods.
const (
	NAT Method = iota
	DR
	TUN
)

// String is ipvsadm's word for it.
func (m Method) String() string { return [...]string{"Masq", "Route", "Tunnel"}[m] }

// A Tunnel is how a server with method TUN is reached.
type Tunnel struct {
	Type     string // "ipip", "gue" or "gre"
	Port     uint16 // of gue
	Checksum string // "nocsum", "csum" or "remcsum"
}

// ServerSettings are what can be configured of a server.
type ServerSettings struct {
	Method       Method
	Tunnel       Tunnel
	Weight       int    // 0 to 2147483647
	Upper, Lower uint32 // thresholds
}

// A Table is the effective table. It is for one goroutine at a time.
type Table struct {
	services []*service // in the order of adding; those of another owner are copied before they change
	owner    *owner
	index    *index // of services; nil: to be made anew
	stamp    uint64 // of the last server that came into a list
	extras   Extras
}

// A service is an entry of the table, or a memory of one that an operator deleted.
type service struct {
	key     Key
	file    *FileService // what the file says; nil if it does not
	set     ServiceSettings
	edited  bool // set differs from the file by an operator's will
	deleted bool // by an operator; the file still has it
	servers []*server
	quorum  quorum

	owner *owner   // who may change it
	view  *Service // what Services lists, without its Extra; nil: it changed since
}

// A server is an entry of a service's list, or waits to be one.
type server struct {
	addr    netip.AddrPort
	file    *FileServer // nil if the file does not have it
	sorry   bool
	set     ServerSettings
	edited  bool
	deleted bool   // by an operator; the file still has it
	down    bool   // its checks fail
	checks  Weight // what its checks make of its weight
	forced  bool   // an operator added it while its checks fail
	stamp   uint64 // when it came into the list
	listed  bool   // it is in the list
}

// New returns an empty table.
func New() *Table { return &Table{owner: &owner{}} }

// Clone returns a copy. Either may change: both copy a service before they do, so that a copy costs no more than a list
// of pointers.
func (t *Table) Clone() *Table {
	c := *t
	c.services = slices.Clone(t.services)
	c.owner, t.owner = &owner{}, &owner{}
	if t.index != nil {
		t.index.shared = true
	}
	return &c
}

// find returns the entry of a key to read, those that are deleted included; nil if there is none.
func (t *Table) find(k Key) *service {
	if i, ok := t.places().byKey[k]; ok {
		return t.services[i]
	}
	return nil
}

// live is find without what is deleted.
func (t *Table) live(k Key) *service {
	if s := t.find(k); s != nil && !s.deleted {
		return s
	}
	return nil
}

// change is live to write.
func (t *Table) change(k Key) *service {
	if s := t.live(k); s != nil {
		return t.own(t.index.byKey[k])
	}
	return nil
}

func (s *service) find(a netip.AddrPort) *server {
	for _, r := range s.servers {
		if r.addr == a && !r.sorry {
			return r
		}
	}
	return nil
}

// inList returns the server of that address in IPVS's list, be it the sorry server.
func (s *service) inList(a netip.AddrPort) *server {
	for _, r := range s.servers {
		if r.addr == a && r.listed {
			return r
		}
	}
	return nil
}

// settle brings the list in line with what is configured and what is healthy.
func (t *Table) settle(s *service) {
	for _, r := range s.servers {
		listed := s.wants(r)
		if listed && !r.listed {
			t.stamp++
			r.stamp = t.stamp
		}
		r.listed = listed
	}
}

// wants reports whether a server belongs into the list now.
func (s *service) wants(r *server) bool {
	sorryNow := s.quorum.lost && s.sorry() != nil
	switch {
	case r.deleted:
		return false
	case r.sorry:
		return sorryNow || r.file.Inhibit
	case r.file == nil || r.forced:
		return true
	case sorryNow:
		return false
	}
	return !r.down || r.file.Inhibit
}

// sorry returns the sorry server, nil if there is none.
func (s *service) sorry() *server {
	for _, r := range s.servers {
		if r.sorry && !r.deleted {
			return r
		}
	}
	return nil
}

// weight returns the weight that balances now.
func (s *service) weight(r *server) int {
	switch {
	case r.forced:
		return r.set.Weight
	case r.sorry && !s.quorum.lost, r.down:
		return 0
	}
	return r.balances()
}

// byStamp sorts the newest first.
func byStamp(a, b *server) int { return cmp.Compare(b.stamp, a.stamp) }

// remove forgets entries that the file does not have.
func (t *Table) remove(s *service) {
	t.services = slices.DeleteFunc(t.services, func(x *service) bool { return x == s })
	t.index = nil
}
