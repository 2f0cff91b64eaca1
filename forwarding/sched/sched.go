package sched

import (
	"encoding/binary"
	"slices"
	"time"

	"uvs/internal/mono"
)

// A Server is what a scheduler must know of a real server. Its values must be comparable:
// a scheduler finds the server it chose last again by ==.
type Server interface {
	Weight() int      // 0 keeps connections and takes no new ones
	Active() int      // connections in ActiveConn
	Inactive() int    // connections in InActConn
	Overloaded() bool // its upper threshold is reached
	// LastWeight is the latest weight that was not 0, or 0 if it never had another
	// (ip_vs_dest.last_weight).
	LastWeight() int
	// End is the server's address and port.
	End() End
}

// An End is an address and a port as IPVS's hashes take them. Addr is an IPv4 address as a
// number, 192.0.2.1 being 0xc0000201, or the exclusive or of an IPv6 address's four words.
type End struct {
	Addr uint32
	Port uint16
}

// Flags change how a scheduler hashes. They have the kernel's values
// (IP_VS_SVC_F_SCHED1 to 3, include/uapi/linux/ip_vs.h) and mean something to sh and mh only.
type Flags uint16

// The flags, with ipvsadm's names.
const (
	Fallback Flags = 0x08 // sh-fallback, mh-fallback: try other servers if the hashed one is not available
	Port     Flags = 0x10 // sh-port, mh-port: the client's port counts, too
	Third    Flags = 0x20 // flag-3: no scheduler knows it
)

// A Request is what a scheduler knows of the packet that asks for a server.
type Request struct {
	// Client is where the packet comes from.
	Client End
	// Virtual is the packet's destination address, IPv4 in the first four bytes with zeros
	// behind. A service of a firewall mark has many.
	Virtual [16]byte
	// Now is when it came.
	Now mono.Time
}

// Fold makes of an address, IPv4 in the first four bytes with zeros behind, what IPVS's
// hashes take: see End.
func Fold(addr *[16]byte) uint32 {
	return binary.BigEndian.Uint32(addr[:]) ^ binary.BigEndian.Uint32(addr[4:]) ^
		binary.BigEndian.Uint32(addr[8:]) ^ binary.BigEndian.Uint32(addr[12:])
}

// A Scheduler chooses servers for one service. It is owned by one goroutine at a time.
type Scheduler interface {
	// Name returns the scheduler's name in keepalived.conf and ipvsadm.
	Name() string

	// Update takes the service's servers, newest first: at the start and whenever one was
	// added, edited or deleted. The scheduler keeps the slice, which must not change.
	Update(list []Server)

	// Watches says of which changes the scheduler must be told by Changed. It is always the same.
	Watches() Watch

	// Changed says that the server at an index of the list is not what it was at the last call
	// of Update or of Changed for it. How often one is told of a change, and of which first,
	// makes no difference.
	Changed(i int)

	// Pick returns the index of the server chosen for a packet in the list of the last
	// Update, or −1 if none is available. If every change up to now has been told, that is
	// the kernel's choice. If not, it is the choice for what was told. Pick does not allocate,
	// but for lblc and lblcr, which remember addresses that they see for the first time.
	Pick(r Request) int
}

// A Watch is what a scheduler must be told between updates of its list.
type Watch uint8

// What schedulers watch. Those that watch nothing look at a server when they choose it.
const (
	WatchNothing  Watch = iota
	WatchOverload       // whether servers are overloaded
	WatchCounts         // the same, and their connections
)

// unwatched is part of schedulers that watch nothing.
type unwatched struct{}

func (unwatched) Watches() Watch { return WatchNothing }
func (unwatched) Changed(int)    {}

// A Collector is a scheduler that remembers what it should forget in time: lblc and lblcr.
type Collector interface {
	// Collect is to be called every CollectEvery.
	Collect(now mono.Time)
}

// An Env is what schedulers take from outside. All of it is needed; the functions are called
// by the scheduler's owner, those of different schedulers at the same time.
type Env struct {
	// Random returns a number from 0 to n − 1, each as likely as the others.
	Random func(n uint64) uint64
	// LBLCExpiration and LBLCRExpiration return how long lblc and lblcr remember an address
	// without packets, and lblcr a set that does not change (the sysctls lblc_expiration and
	// lblcr_expiration).
	LBLCExpiration, LBLCRExpiration func() time.Duration
}

// none is the index of no server; as a position it is the place before the first one.
const none = -1

// New returns the scheduler of that name, without servers, and whether there is one. Flags
// are ignored by schedulers that do not know them.
func New(name string, flags Flags, e Env) (Scheduler, bool) {
	switch name {
	case "rr":
		return &roundRobin{last: none}, true
	case "wrr":
		return newWeightedRoundRobin(), true
	case "lc":
		return newLeastConnection(), true
	case "wlc":
		return newWeightedLeastConnection(), true
	case "sed":
		return newShortestExpectedDelay(), true
	case "nq":
		return newNeverQueue(), true
	case "fo":
		return &failOver{}, true
	case "ovf":
		return newOverflow(), true
	case "twos":
		return &twoChoices{random: e.Random}, true
	case "sh":
		return &sourceHashing{flags: flags}, true
	case "dh":
		return &destinationHashing{}, true
	case "mh":
		return &maglevHashing{flags: flags}, true
	case "lblc":
		return newLocalityLeastConnection(e), true
	case "lblcr":
		return newReplicatedLeastConnection(e), true
	}
	return nil, false
}

// Names returns the names that New knows, sorted.
func Names() []string {
	return []string{"dh", "fo", "lblc", "lblcr", "lc", "mh", "nq", "ovf", "rr", "sed", "sh", "twos", "wlc", "wrr"}
}

// Has reports whether New knows a name.
func Has(name string) bool { return slices.Contains(Names(), name) }

// available reports whether a server may get a new connection.
func available(s Server) bool { return s.Weight() > 0 && !s.Overloaded() }

// overhead is what a server's connections cost it: an active one as much as 256 inactive
// ones (ip_vs_dest_conn_overhead).
func overhead(s Server) uint64 { return active(s)<<8 + uint64(max(0, s.Inactive())) }

// active is the number of a server's active connections. While workers change counts they may
// be below 0 for a moment.
func active(s Server) uint64 { return uint64(max(0, s.Active())) }
