package bfd

import "time"

// An EventKind says what happened to a session.
type EventKind uint8

// The kinds of event.
const (
	// Started: the session begins to send. The first event of a machine.
	Started EventKind = iota
	// Elapsed: the time that Next named has come. Harmless when it has not.
	Elapsed
	// Received: a packet of the peer, which passed all checks.
	Received
	// Configured: the configuration is another one; the session goes on.
	Configured
	// Stopped: the session ends. The last event of a machine; it only ever drops packets after that.
	Stopped
)

// An Event is what a Machine is told.
type Event struct {
	Kind   EventKind
	Packet Packet // Received
	Config Config // Configured; the name must be the old one
}

// An EffectKind says what is to be done.
type EffectKind uint8

// The kinds of effect.
const (
	// Send: Packet goes to the peer now.
	Send EffectKind = iota
	// Changed: the state went from From to To.
	Changed
	// Note: Message is worth a log line that changes no state.
	Note
	// Dropped: the received packet is not used, by Reason.
	Dropped
)

// An Effect is what the owner of a Machine does, in the order in which they come.
type Effect struct {
	Kind   EffectKind
	Packet Packet // Send

	// From and To are states of Changed. Peer is the last state that the peer told, Local and Remote are the diagnostics
	// at that moment. A change to Down while Peer is AdminDown is no sign of a failure (RFC 5882).
	From, To, Peer State
	Local, Remote  Diagnostic

	Reason Drop // Dropped

	// Message is a log line in keepalived's words: always for Note, for Changed empty where keepalived says nothing.
	Message string
}

// A Config is what a session is made of. Intervals are whole microseconds, up to 2³²−1.
type Config struct {
	// Name begins log lines.
	Name string
	// MinTx is the interval that we would like to send at while up, MinRx the shortest that we can receive at. The
	// peer's wishes make them longer.
	MinTx, MinRx time.Duration
	// IdleTx takes the place of MinTx while the session is not up; at least a second (RFC 5880, Section 6.8.3).
	IdleTx time.Duration
	// Multiplier is how many of our packets the peer may miss, 1 to 255.
	Multiplier uint8
	// Passive: nothing is sent before the peer has been heard.
	Passive bool
}
