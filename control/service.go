package control

import (
	"net/netip"
	"time"
)

// Protocol is the transport protocol of a service or connection.
type Protocol string

// The protocols that services may have.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Method is how packets reach a server.
type Method string

// The forwarding methods.
const (
	NAT Method = "nat" // addresses are rewritten both ways (ipvsadm: Masq)
	DR  Method = "dr"  // only the destination MAC changes (ipvsadm: Route)
)

// ServiceList is the answer to GET /v1/services: the service table.
type ServiceList struct {
	// TableSize is the number that ipvsadm prints as size= in its version line: in
	// IPVS the connection hash size, 4096 unless it was built otherwise.
	TableSize int `json:"table_size"`
	// Services are in the order of the table, which is the order of the
	// configuration.
	Services []Service `json:"services"`
}

// Service is one virtual service.
type Service struct {
	Protocol Protocol `json:"protocol"`
	// Address is the virtual address and Port its port, 0 for all ports.
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`
	// Scheduler is the scheduler's name as in lb_algo: "rr", "wlc".
	Scheduler string   `json:"scheduler"`
	Counters  Counters `json:"counters"`
	// Servers are in table order: the first is the one the scheduler looks at first.
	Servers []Server `json:"servers"`
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
	// Active and Inactive are the connections that IPVS counts as such.
	Active   uint64   `json:"active"`
	Inactive uint64   `json:"inactive"`
	Counters Counters `json:"counters"`
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
