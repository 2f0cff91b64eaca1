package session

import (
	"net/netip"
	"time"

	"uvs/bfd"
	"uvs/internal/mono"
)

// A Config is one session. Its Name is unique in a Set; so is Peer with Source and MultiHop.
type Config struct {
	bfd.Config
	// Peer is the other end, with a zone if it is link-local. Source is our address, of the same family, or the zero
	// Addr for the one that the route gives.
	Peer, Source netip.Addr
	// TTL is that of packets sent, and what packets of the peer are taken to have begun with, 1 to 255. They may have
	// lost MaxHops of it; a negative MaxHops allows any loss. This is keepalived's rule; with a TTL of 255 it is that
	// of RFC 5881, Section 5.
	TTL     uint8
	MaxHops int
	// MultiHop uses port 4784 for both directions.
	MultiHop bool
}

// An EventKind says what an Event reports.
type EventKind uint8

// The kinds of event.
const (
	// Turned: the session has come up or failed. As in keepalived and RFC 5882 it has not failed when the
	// peer went AdminDown; that is a Note, and the session counts as up until its next attempt fails.
	Turned EventKind = iota
	// Note: Message is worth a log line; whether the session is up has not changed.
	Note
)

// An Event tells what became of a session.
type Event struct {
	Kind EventKind
	// Name is the session's, "" for a Note about the whole Set.
	Name string
	// Up is whether the session counts as up now.
	Up bool
	// Initial marks the Turned with which a Set opens its reports on a session that is new to it. It is no change.
	Initial bool
	Time    mono.Time
	// Reason is why the session went down, in words of RFC 5880; "" if it came up.
	Reason string
	// Message is a log line, in keepalived's words where keepalived has one. It is empty for Initial.
	Message string
}

// A Status is a session at one moment.
type Status struct {
	Config
	bfd.Snapshot
	// Up is what the last Turned said.
	Up bool
	// Since is when that was.
	Since mono.Time
	// Downs is how often it failed.
	Downs uint64
	// Sent and Received are packets, Dropped what came for this session and was not used.
	Sent, Received, Dropped uint64
	// SendError is what the last attempt to send met, "" if it succeeded.
	SendError string
}

// Lateness is how late timers were served. It says nothing about the peers.
type Lateness struct {
	// Served is how many timers there were, the others how many of them were that late or later.
	Served, Over1ms, Over10ms, Over100ms uint64
	Max                                  time.Duration
}

func (l *Lateness) add(d time.Duration) {
	l.Served++
	l.Max = max(l.Max, d)
	if d >= time.Millisecond {
		l.Over1ms++
	}
	if d >= 10*time.Millisecond {
		l.Over10ms++
	}
	if d >= 100*time.Millisecond {
		l.Over100ms++
	}
}

// Counters are those of a whole Set. They start at 0 with it.
type Counters struct {
	// Drops has a count for each bfd.Drop; that of bfd.Accepted is what was used.
	Drops    [bfd.Drops]uint64
	Lateness Lateness
}
