package config

import (
	"net/netip"
	"time"
)

// Protocol is a transport protocol by its IP number.
type Protocol uint8

// The protocols that a service may have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns "TCP", "UDP" or "SCTP", and "none" for the zero value.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return "none"
}

// A Method is how packets go to a real server.
type Method uint8

// The forwarding methods of keepalived.conf.
const (
	NAT Method = iota + 1
	DR
	TUN
)

// String returns "NAT", "DR" or "TUN".
func (m Method) String() string {
	switch m {
	case NAT:
		return "NAT"
	case DR:
		return "DR"
	case TUN:
		return "TUN"
	}
	return "none"
}

// A Tunnel says how packets to a server with method TUN are wrapped.
type Tunnel struct {
	// Type is "ipip", "gue" or "gre".
	Type string
	// Port is the UDP port of gue, 1 to 65535; 0 with the other types.
	Port uint16
	// Checksum is "nocsum", "csum" (gue, gre) or "remcsum" (gue).
	Checksum string
}

// SchedulerFlags are bits that a scheduler understands in its own way, with the kernel's numbers
// (IP_VS_SVC_F_SCHED1 to 3, include/uapi/linux/ip_vs.h).
type SchedulerFlags uint8

// The flags, and their names for sh and mh.
const (
	Flag1 SchedulerFlags = 0x08
	Flag2 SchedulerFlags = 0x10
	Flag3 SchedulerFlags = 0x20

	HashFallback = Flag1 // sh-fallback, mh-fallback
	HashPort     = Flag2 // sh-port, mh-port
)

// A VirtualServer is one service: an address and port, or a firewall mark. Services that a virtual_server_group was
// expanded into have the same Pos, Group and RealServers: their servers are checked once and have one quorum.
type VirtualServer struct {
	Pos Pos
	// Group is the virtual_server_group that the service is a part of, "" for none.
	Group string
	// Fwmark is the firewall mark of a service without address, 0 for one with Addr. IPv6 is the family of either.
	Fwmark uint32
	IPv6   bool
	// Addr is the virtual address and port, the zero AddrPort with Fwmark. Port 0 takes all ports.
	Addr netip.AddrPort
	// Protocol is 0 if and only if Fwmark is not.
	Protocol Protocol
	// Scheduler is the word of lb_algo: one of rr wrr lc wlc lblc lblcr sh dh mh sed nq fo ovf twos.
	Scheduler string
	Flags     SchedulerFlags
	// OnePacket is one-packet scheduling (ops); never of TCP or SCTP.
	OnePacket bool
	// PersistenceTimeout is 1 s to 31 days in whole seconds, 0 without persistence. A service of all ports has it.
	PersistenceTimeout time.Duration
	// Granularity is the mask of the clients that persist together, of the family of the service; an IPv4 mask may
	// have gaps. The zero Addr is each client for itself.
	Granularity netip.Addr
	// PersistenceEngine is the kernel's name of it ("sip"), "" for none; at most 15 bytes.
	PersistenceEngine string

	// Method and Tunnel are what real servers have unless they say otherwise, NAT without lb_kind; Tunnel is nil
	// without TUN.
	Method Method
	Tunnel *Tunnel
	// RealServers are in the order of the file, no address and port twice. But for TUN, all are of the family of the
	// service. Services of one group share the slice.
	RealServers []RealServer
	// SorryServer serves while the quorum is lost, nil for none.
	SorryServer *SorryServer

	// Quorum is the sum of weights of servers that must be up, and Hysteresis (below Quorum, or 0) how far the sum
	// must be from it before the verdict changes. Quorum is 0 only if all weights are.
	Quorum, Hysteresis uint32
	// QuorumUp and QuorumDown run when the quorum is gained and lost, nil for none.
	QuorumUp, QuorumDown *Command
	// Alpha begins with the quorum lost. Omega runs QuorumDown and the servers' NotifyDown at the end.
	Alpha, Omega bool
	// HASuspend checks the servers only while Addr is on this machine; never with Fwmark.
	HASuspend bool
	// Mail sends mail when the quorum changes.
	Mail bool
}

// A SorryServer is the server of last resort. It has no checks.
type SorryServer struct {
	Pos Pos
	// Addr has the port of the service unless it was given; 0 with a mark and for all ports.
	Addr   netip.AddrPort
	Method Method
	Tunnel *Tunnel // nil without TUN
	// Inhibit leaves it in the table with weight 0 while it does not serve.
	Inhibit bool
}

// A RealServer is one server of a service.
type RealServer struct {
	Pos Pos
	// Addr has the port of the service unless it was given; 0 with a mark and for all ports.
	Addr   netip.AddrPort
	Method Method
	Tunnel *Tunnel // nil without TUN
	// Weight is 0 to 2147483647; 0 keeps connections and takes no new ones.
	Weight int
	// UpperThreshold and LowerThreshold bound its connections, 0 for no bound.
	UpperThreshold, LowerThreshold uint32
	// InhibitOnFailure keeps a failed server in the table with weight 0 instead of removing it.
	InhibitOnFailure bool
	// Alpha begins as down until a check succeeds; it is in each checker as well, where it may differ.
	Alpha bool
	// NotifyUp and NotifyDown run at changes of state, nil for none. Mail sends mail at them.
	NotifyUp, NotifyDown *Command
	Mail                 bool
	// Checking is what a checker of the server has that says nothing itself: its Pos and Connect are the server's.
	Checking CheckOptions
	// Checkers must all pass. Without any the server is always up. The slice is shared by the services of a group.
	Checkers []Checker
}
