package config

import (
	"net/netip"
	"time"
)

// A Config is a configuration as it would run: every default filled in, every inheritance resolved, nothing in it
// that is not served. It holds no pointer into the File and belongs to the caller.
type Config struct {
	// RouterID names this director; "" means the host name.
	RouterID string
	// Instances are the vrrp_instance blocks, in the order of the file.
	Instances []Instance
	// SyncGroups are the vrrp_sync_group blocks.
	SyncGroups []SyncGroup
	// Scripts, TrackFiles, TrackProcesses and BFDs are what can be tracked, whether anyone does or not.
	Scripts        []VRRPScript
	TrackFiles     []TrackFile
	TrackProcesses []TrackProcess
	BFDs           []BFD
	// Static is set from start to stop; TrackGroups are the instances that follow some of it.
	Static      Static
	TrackGroups []TrackGroup
	// GARPGroups and InterfaceDelays concern interfaces.
	GARPGroups      []GARPGroup
	InterfaceDelays []InterfaceDelay
	// ClientTLS is what HTTPS checkers show.
	ClientTLS ClientTLS
	// Process is what concerns the program as a whole.
	Process Process
	// VirtualServers are the services to run, in the order of the file. Each has at least one real server.
	VirtualServers []VirtualServer
	// Unserved lists what is in the file, is right, and cannot be run yet.
	Unserved []Unserved
}

// An Unserved is a service or a real server that is left out of the model because it needs what is not served yet.
type Unserved struct {
	Pos Pos
	// Name is "virtual_server 192.0.2.1 80", or that and "real_server 10.0.0.1 80".
	Name string
	// Reasons says what it needs, one phrase each: "scheduler sh is not served yet".
	Reasons []string
}

// Protocol is a transport protocol by its IP number.
type Protocol uint8

// The protocols that a service may have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns "TCP", "UDP" or "SCTP".
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

// A VirtualServer is one service.
type VirtualServer struct {
	Pos Pos
	// Addr is the virtual address and port; the port is never 0.
	Addr     netip.AddrPort
	Protocol Protocol
	// Scheduler is the word of lb_algo: rr, wrr, lc or wlc.
	Scheduler string
	// Method is what real servers have unless they say otherwise.
	Method Method
	// RealServers are in the order of the file, no address and port twice, all of the family of Addr.
	RealServers []RealServer
}

// A RealServer is one server of a service.
type RealServer struct {
	Pos    Pos
	Addr   netip.AddrPort
	Method Method
	// Weight is 0 to 2147483647; 0 keeps connections and takes no new ones.
	Weight int
	// InhibitOnFailure keeps a failed server in the table with weight 0 instead of removing it.
	InhibitOnFailure bool
	// Checkers must all pass. Without any the server is always up.
	Checkers []Checker
}

// A Checker is a TCPCheck or an HTTPGet.
type Checker interface {
	// Common returns what all checkers have.
	Common() CheckOptions
}

// CheckOptions are what all checkers have, resolved: checker before real_server before virtual_server before default.
type CheckOptions struct {
	Pos Pos
	// Connect is where the probe goes: connect_ip and connect_port, else the real server.
	Connect netip.AddrPort
	// BindAddr is the source address, the zero Addr for any.
	BindAddr netip.Addr
	// BindPort is the source port, 0 for any.
	BindPort uint16
	// BindInterface is the device that the probe must leave by, "" for any.
	BindInterface string
	// ConnectTimeout bounds the connection, and each further stage of HTTPGet. Over 0.
	ConnectTimeout time.Duration
	// DelayLoop is the time between probes. Over 0.
	DelayLoop time.Duration
	// Retry is how many failures in a row are forgiven while the server is up.
	Retry uint32
	// DelayBeforeRetry is the time from a forgiven failure to the next probe. 0 is legal: the engine has the floor.
	DelayBeforeRetry time.Duration
	// Warmup bounds the random delay of the first probe.
	Warmup time.Duration
	// Alpha lets the server begin as down.
	Alpha bool
}

// A TCPCheck passes when a connection is made.
type TCPCheck struct{ CheckOptions }

// Common returns the options of the check.
func (c TCPCheck) Common() CheckOptions { return c.CheckOptions }

// An HTTPGet passes when all its URLs answer as they should.
type HTTPGet struct {
	CheckOptions
	// Version is the word of http_protocol: "1.0", "1.0C" (with Connection: close) or "1.1".
	Version string
	// FastRecovery probes again at once after the first success of a server that is down.
	FastRecovery bool
	// URLs are probed in this order; there is at least one.
	URLs []URL
}

// Common returns the options of the check.
func (c HTTPGet) Common() CheckOptions { return c.CheckOptions }

// A URL is one request of an HTTPGet and what its answer must be.
type URL struct {
	Pos  Pos
	Path string
	// Host is the value of the Host header: virtualhost of url, checker, real_server or virtual_server; "" means the
	// address and port that the probe connects to.
	Host string
	// Digest is the MD5 sum that the body must have, if HasDigest.
	Digest    [16]byte
	HasDigest bool
	// Statuses are the answers that pass; never empty, by default 200–299.
	Statuses []StatusRange
}

// A StatusRange is a range of HTTP status codes, both ends included, within 100 to 599.
type StatusRange struct{ First, Last uint16 }
