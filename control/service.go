package control

import (
	"net/netip"
	"time"
)

// Protocol is the transport protocol of a service or connection.
type Protocol string

// The protocols that services may have.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// Method is how packets reach a server.
type Method string

// The forwarding methods.
const (
	NAT Method = "nat" // addresses are rewritten both ways (ipvsadm: Masq)
	DR  Method = "dr"  // only the destination MAC changes (ipvsadm: Route)
	TUN Method = "tun" // the packet goes inside another one (ipvsadm: Tunnel)
)

// Origin is who put a service or server into the table.
type Origin string

// The origins.
const (
	FromFile     Origin = "file"     // the configuration
	FromOperator Origin = "operator" // ipvsadm, or the control API otherwise
)

// ServiceList is the answer to GET /v1/services: the service table.
type ServiceList struct {
	// TableSize is the number that ipvsadm prints as size= in its version line: in
	// IPVS the connection hash size, 4096 unless it was built otherwise.
	TableSize int `json:"table_size"`
	// Timeouts are those that `ipvsadm --set` changes.
	Timeouts Timeouts `json:"timeouts"`
	// Services are in the order of the table, which is the order of the
	// configuration, and then of the operator's commands.
	Services []Service `json:"services"`
}

// Timeouts are the idle timeouts that `ipvsadm --set` changes, in whole seconds, 0 to
// 2678400 (31 days). In an Edit, 0 leaves a timeout as it is.
type Timeouts struct {
	TCP    uint32 `json:"tcp"`
	TCPFin uint32 `json:"tcp_fin"`
	UDP    uint32 `json:"udp"`
}

// Service is one virtual service.
type Service struct {
	// Fwmark is the firewall mark that names the service, 1 to 2^31-1, or 0 if Protocol,
	// Address and Port name it. IPv6 is the family of a service with a mark.
	Fwmark uint32 `json:"fwmark,omitempty"`
	IPv6   bool   `json:"ipv6,omitempty"`
	// Protocol is empty for a service with a mark.
	Protocol Protocol `json:"protocol,omitempty"`
	// Address is the virtual address and Port its port, 0 for all ports.
	Address netip.Addr `json:"address,omitzero"`
	Port    uint16     `json:"port"`
	// Scheduler is the scheduler's name as in lb_algo: "rr", "wlc".
	Scheduler string `json:"scheduler"`
	// Flags are the scheduler's flags as ipvsadm -b spells them, in the order of their
	// bits: "sh-fallback", "sh-port", "mh-fallback", "mh-port", "flag-1" to "flag-3".
	Flags []string `json:"flags,omitempty"`
	// Persistence is the persistence timeout in whole seconds, 1 to 2678400, 0 if
	// connections do not persist.
	Persistence uint32 `json:"persistence,omitempty"`
	// Netmask is which clients persist together: a mask in dotted form for IPv4
	// ("255.255.255.0"; it may have gaps), a prefix length for IPv6 ("64"). Empty is each
	// client for itself.
	Netmask string `json:"netmask,omitempty"`
	// PersistenceEngine is "sip" or empty.
	PersistenceEngine string `json:"persistence_engine,omitempty"`
	// OnePacket is one-packet scheduling (ops).
	OnePacket bool `json:"one_packet,omitempty"`

	// ReplyByUplink is the extra file's reply_by_uplink. It is not looked at in an Edit.
	ReplyByUplink bool `json:"reply_by_uplink,omitempty"`

	// Origin is who made the service; Edited tells that an operator changed what the
	// configuration says. Neither is looked at in an Edit.
	Origin Origin `json:"origin,omitempty"`
	Edited bool   `json:"edited,omitempty"`
	// Unserved says why the service is in the table and no packet is taken for it, one
	// phrase each: "protocol SCTP is not served yet". Empty: it is served.
	Unserved []string `json:"unserved,omitempty"`

	// Panic tells that too many servers went down at once (panic_threshold of the extra file), and
	// some are in the table although their checks fail.
	Panic bool `json:"panic,omitempty"`

	// Quorum is set if the service has one to keep.
	Quorum *Quorum `json:"quorum,omitempty"`

	Counters Counters `json:"counters"`
	Rates    Rates    `json:"rates"`
	// Servers are in table order: the first is the one the scheduler looks at first.
	Servers []Server `json:"servers"`
}

// Quorum is how much of a service must be up, in the words of keepalived.conf.
type Quorum struct {
	// Required is the sum of weights that must be up, and Hysteresis how far it may be
	// from that before the verdict changes.
	Required   uint `json:"required"`
	Hysteresis uint `json:"hysteresis"`
	// Weight is the sum of the weights of the servers that are up, and Up the verdict.
	Weight uint64 `json:"weight"`
	Up     bool   `json:"up"`
}

// Counters are what IPVS counts per service and per server, since the start.
type Counters struct {
	// Conns counts connections created.
	Conns uint64 `json:"conns"`
	// Packets and bytes, in from the client and out to it. Bytes are IP lengths with
	// headers. With direct routing replies do not pass here, so Out stays 0.
	InPackets  uint64 `json:"in_packets"`
	OutPackets uint64 `json:"out_packets"`
	InBytes    uint64 `json:"in_bytes"`
	OutBytes   uint64 `json:"out_bytes"`
}

// Rates are IPVS's estimates per second (net/netfilter/ipvs/ip_vs_est.c): averages that
// move by a quarter every 2 s. Bytes are bytes, not bits.
type Rates struct {
	Conns      uint64 `json:"conns"`
	InPackets  uint64 `json:"in_packets"`
	OutPackets uint64 `json:"out_packets"`
	InBytes    uint64 `json:"in_bytes"`
	OutBytes   uint64 `json:"out_bytes"`
}

// Tunnel says how a server with method TUN is reached.
type Tunnel struct {
	Type     string `json:"type"`           // "ipip", "gue" or "gre"
	Port     uint16 `json:"port,omitempty"` // of gue, 1 to 65535
	Checksum string `json:"checksum"`       // "nocsum", "csum" or "remcsum"
}

// ServerState is what the health of a server made of it.
type ServerState string

// The states of a server.
const (
	ServerUp        ServerState = "up"        // in the table with its own weight
	ServerDown      ServerState = "down"      // failing its checks, not yet acted upon
	ServerInhibited ServerState = "inhibited" // failing; in the table with weight 0 (inhibit_on_failure)
	ServerRemoved   ServerState = "removed"   // failing; out of the table until it recovers
)

// Server is one real server of a service.
type Server struct {
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`
	Method  Method     `json:"method"`
	// Weight is the configured weight and EffectiveWeight the one that balances now:
	// 0 while the server is inhibited or removed.
	Weight          int         `json:"weight"`
	EffectiveWeight int         `json:"effective_weight"`
	State           ServerState `json:"state"`
	// Tunnel is set for method TUN only.
	Tunnel *Tunnel `json:"tunnel,omitempty"`
	// UpperThreshold and LowerThreshold bound the server's connections; 0 is no bound.
	UpperThreshold uint32 `json:"upper_threshold,omitempty"`
	LowerThreshold uint32 `json:"lower_threshold,omitempty"`
	// Overloaded tells that the upper threshold was reached and no new connection goes to
	// the server until it is below the lower one.
	Overloaded bool `json:"overloaded,omitempty"`
	// Sorry tells that this is the service's sorry_server.
	Sorry bool `json:"sorry,omitempty"`
	// Local tells that the server's address is the director's own: its packets go into the director's stack.
	Local bool `json:"local,omitempty"`

	// Origin is who put the server into the table; Edited tells that an operator changed
	// what the configuration says; Unserved says why the server gets no packets, one
	// phrase each. None of them is looked at in an Edit.
	Origin   Origin   `json:"origin,omitempty"`
	Edited   bool     `json:"edited,omitempty"`
	Unserved []string `json:"unserved,omitempty"`

	// Active and Inactive are the connections that IPVS counts as such, and Persistent
	// the persistence templates.
	Active     uint64   `json:"active"`
	Inactive   uint64   `json:"inactive"`
	Persistent uint64   `json:"persistent"`
	Counters   Counters `json:"counters"`
	Rates      Rates    `json:"rates"`
	// Checks are the server's health checks, in the order of the configuration. A
	// server without checks is always up.
	Checks  []Check `json:"checks"`
	NextHop NextHop `json:"next_hop"`
}

// InTable tells whether the server is in the service table, and so in ipvsadm's
// listing.
func (s Server) InTable() bool { return s.State != ServerRemoved }

// CheckState is the verdict of one health check.
type CheckState string

// The verdicts of a health check.
const (
	CheckPending CheckState = "pending" // no result yet
	CheckUp      CheckState = "up"
	CheckDown    CheckState = "down"
)

// Check is one health check of a server.
type Check struct {
	// Kind is the checker's word in the configuration: "TCP_CHECK", "HTTP_GET".
	Kind  string     `json:"kind"`
	State CheckState `json:"state"`
	// Since is when State was entered.
	Since time.Time `json:"since"`
	// LastError is what the latest probe found wrong, empty if it succeeded. It may be
	// set while State is still up: retries are left.
	LastError string `json:"last_error,omitempty"`
}

// NextHop is the neighbour that frames for a server are sent to.
type NextHop struct {
	// Interface is the outgoing interface, empty if there is no route.
	Interface string `json:"interface,omitempty"`
	// Gateway is the neighbour's address if the server is not on-link.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// MAC is the neighbour's hardware address in lower-case colon form, empty while
	// it is unresolved.
	MAC string `json:"mac,omitempty"`
}

// Resolved tells whether frames can be sent to the next hop now.
func (h NextHop) Resolved() bool { return h.Interface != "" && h.MAC != "" }
