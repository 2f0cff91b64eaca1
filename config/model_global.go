package config

import (
	"net/netip"
	"time"
)

// A Global is what global_defs says about the program as a whole, the defaults of VRRP instances apart.
type Global struct {
	// Mail is how mails go out.
	Mail Mail
	// Timeouts are those of idle connections (lvs_timeouts).
	Timeouts Timeouts
	// Sync is the daemon that tells a backup of connections (lvs_sync_daemon); nil: there is none.
	Sync *SyncDaemon
	// Flush empties the service table at the start, FlushOnStop at the stop, FlushServices then only of what stands in
	// the file.
	Flush, FlushOnStop, FlushServices bool
	// Startup and Shutdown are run before and after everything; nil: nothing is.
	Startup, Shutdown *Command
	// StartupTimeout and ShutdownTimeout bound that: 1 s to 1000 s, 10 s by default.
	StartupTimeout, ShutdownTimeout time.Duration
	// FIFO is told of everything, VRRPFIFO of instances and groups, ServerFIFO of services and servers.
	FIFO, VRRPFIFO, ServerFIFO FIFO
	// NotifyInitial runs notify_up and quorum_up at start, too (rs_init_notifies).
	NotifyInitial bool
	// Scripts are the rules for all programs that are run.
	Scripts Scripts
	// VRRP concerns all instances together.
	VRRP VRRP
	// LogAllFailures logs each failed probe, not only the last of a row.
	LogAllFailures bool
}

// A Mail is how mails go out. Without a server or recipients there are none.
type Mail struct {
	To   []string // addresses, in the order of the file
	From string   // an address, perhaps with a name; "" for keepalived@HOST
	// Server is a host name or an address, "" for none; Port is 25 if nothing is said.
	Server string
	Port   uint16
	// Timeout is for connecting and for each answer, 30 s by default.
	Timeout time.Duration
	Helo    string // "" for the host name
	// NoFaults leaves out mails about FAULT, NoCheckers those about single checkers.
	NoFaults, NoCheckers bool
}

// Timeouts are those of idle connections: up to 31 days, 0 where nothing is said.
type Timeouts struct {
	TCP, TCPFin, UDP time.Duration
}

// A SyncDaemon tells another director of connections.
type SyncDaemon struct {
	Pos       Pos
	Interface string
	Instance  string // of VRRP, whose state it follows; "" for both roles always
	// ID is 0 to 255; HasID tells whether it is given (else it is the instance's VRID).
	ID    uint8
	HasID bool
	// MaxLen is 1 to 65507 bytes, Port 1 to 65535, TTL 1 to 255; 0 where nothing is said.
	MaxLen, Port uint16
	TTL          uint8
	Group        netip.Addr // the zero Addr where nothing is said
}

// A FIFO is a named pipe that changes are written to. It is made if it is not there.
type FIFO struct {
	Pos  Pos
	Path string // "" for none; then Script is not run
	// User and Group own it, "" for those of script_user, else root's.
	User, Group string
	// Script is started as its reader, with Path as a further argument; nil for none.
	Script *Command
}

// Scripts are the rules for all programs that a configuration runs.
type Scripts struct {
	// Secure refuses a program that others than root may change (enable_script_security).
	Secure bool
	// User and Group are those of script_user, "" where it does not name them: then keepalived_script if there is such
	// a user, else root.
	User, Group string
}

// A VRRP is what global_defs says about all VRRP instances together. What an instance inherits is resolved there.
type VRRP struct {
	// StartupDelay puts off all takeovers after the start, 1 ms to 4294.967295 s, 0 for none. DelayAfterBoot begins VRRP
	// when the machine has been up for so long.
	StartupDelay, DelayAfterBoot time.Duration
	// GARPInterval and GNAInterval are the time between two gratuitous ARP and two neighbour adverts of an interface
	// that no GARPGroup says more of, 0 for none.
	GARPInterval, GNAInterval time.Duration
	// MACPrefix begins the names of virtual MAC devices of instances, AddressMACPrefix those of addresses with a device
	// of their own. Neither is "".
	MACPrefix, AddressMACPrefix string
	// DynamicInterfaces lets interfaces come later; with InterfacesMayChange they may come again as another type.
	DynamicInterfaces, InterfacesMayChange bool
	// RealtimePriority is 1 to 99 under SCHED_RR, 0 for none; Nice is -20 to 19.
	RealtimePriority, Nice int
	// LogUnknownVRIDs logs adverts for VRIDs that no instance of the interface has.
	LogUnknownVRIDs bool
	// StatesOnReload writes the states of all instances to the FIFOs on a reload.
	StatesOnReload bool
}
