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
