package bfd

import (
	"fmt"
	"time"

	"uvs/internal/mono"
)

// A Machine is one session. It is owned by one goroutine and does nothing by itself. Its variables are those of RFC
// 5880, Section 6.8.1, and its rules those of Sections 6.8.2 to 6.8.7 and 6.8.16.
type Machine struct {
	config        Config
	discriminator uint32
	jitter        func(d time.Duration) time.Duration
	effects       []Effect // of the present step

	state      State
	diagnostic Diagnostic
	peer       peer

	// offered is what our packets say, used is what we go by: it follows when the poll sequence has ended.
	offered, used intervals
	polling       bool // a poll sequence is under way
	pollAgain     bool // offered has changed since it began

	period    time.Duration // of our packets, before jitter
	detection time.Duration // 0 before the first packet
	sent      mono.Time     // last packet but answers to polls, 0 for none
	heard     mono.Time     // last packet of the peer, 0 for none
	nextSend  mono.Time     // 0: nothing periodic is to be sent
	expires   mono.Time     // 0: there is nothing to forget
}

// intervals are what one end would like to send at and the least that it can receive at.
type intervals struct{ minTx, minRx time.Duration }

// peer is what the other end has told us.
type peer struct {
	discriminator uint32 // 0: not heard for the detection time
	state         State
	diagnostic    Diagnostic
	demand        bool
	multiplier    uint8
	intervals     intervals
}

// unheard is the peer before its first packet. One microsecond lets us choose the interval.
func unheard() peer { return peer{state: Down, intervals: intervals{minRx: time.Microsecond}} }

// NewMachine returns a machine in state Down, to be given Started. The discriminator is not 0 and no other session's.
// jitter draws a duration from 0 up to d for each packet; d is never negative.
func NewMachine(c Config, discriminator uint32, jitter func(d time.Duration) time.Duration) *Machine {
	m := &Machine{config: c, discriminator: discriminator, jitter: jitter, state: Down, peer: unheard()}
	m.settle()
	return m
}

// Next returns when Elapsed is due, or 0 for never. It changes with every step.
func (m *Machine) Next() mono.Time {
	if m.nextSend == 0 || m.expires != 0 && m.expires.Before(m.nextSend) {
		return m.expires
	}
	return m.nextSend
}

// State returns the session's state.
func (m *Machine) State() State { return m.state }

// Discriminator returns our discriminator.
func (m *Machine) Discriminator() uint32 { return m.discriminator }

// Step takes an event at now, which never goes back, and returns what is to be done. The slice is valid until the
// next call. Whoever has packets and Elapsed at hand gives the packets first, so that being late itself is not taken
// for the peer's silence.
func (m *Machine) Step(now mono.Time, e Event) []Effect {
	m.effects = m.effects[:0]
	switch e.Kind {
	case Started:
		m.retime(now)
		m.elapsed(now)
	case Elapsed:
		m.elapsed(now)
	case Received:
		m.receive(now, e.Packet)
	case Configured:
		m.config = e.Config
		m.offer(m.wanted())
		m.retime(now)
	case Stopped:
		m.stop()
	}
	return m.effects
}

func (m *Machine) elapsed(now mono.Time) {
	if m.expires != 0 && !now.Before(m.expires) {
		m.expire(now)
	}
	if m.nextSend != 0 && !now.Before(m.nextSend) {
		m.send(now)
	}
}

// expire is the end of the detection time: RFC 5880, Sections 6.8.1 and 6.8.4.
func (m *Machine) expire(now mono.Time) {
	silent := m.state == Down // nothing changes but what we know
	if !silent {
		m.note("Expired after %d ms (%d usec overdue)", now.Sub(m.heard).Milliseconds(), now.Sub(m.expires).Microseconds())
		m.enter(Down, DetectionExpired)
	}
	diagnostic := m.peer.diagnostic
	m.peer = unheard()
	m.peer.diagnostic = diagnostic
	m.retime(now)
	if !silent && !m.mute() {
		m.send(now)
	}
}

// receive is RFC 5880, Section 6.8.6, from the point where the session is known.
func (m *Machine) receive(now mono.Time, p Packet) {
	if m.state == AdminDown {
		m.effects = append(m.effects, Effect{Kind: Dropped, Reason: DropAdminDown})
		return
	}
	before := m.state
	m.heard = now
	m.peer = peer{
		discriminator: p.Discriminator, state: p.State, diagnostic: p.Diagnostic, demand: p.Demand,
		multiplier: p.Multiplier, intervals: intervals{p.MinTx, p.MinRx},
	}
	if p.Final {
		m.endPoll()
	}
	m.advance(p.State)
	m.retime(now)
	switch {
	case p.Poll:
		m.answer()
	case m.state != before && !m.mute():
		m.send(now)
	}
}

// advance moves the state by that of the peer: RFC 5880, Sections 6.2 and 6.8.6.
func (m *Machine) advance(remote State) {
	switch {
	case remote == AdminDown && m.state != Down, remote == Down && m.state == Up:
		m.enter(Down, NeighborDown)
	case m.state == Down && remote == Down:
		m.enter(Init, NoDiagnostic)
	case m.state == Down && remote == Init, m.state == Init && (remote == Init || remote == Up):
		m.enter(Up, NoDiagnostic)
	}
}

// stop tells the peer that the session is over on purpose, once: a peer that misses it waits for its detection time.
// The packet says Down, not AdminDown: by RFC 5882 a peer that hears AdminDown does not take it for a
// failure, and keepalived would go on counting a stopped neighbor as up for good.
func (m *Machine) stop() {
	if m.state == AdminDown {
		return
	}
	m.enter(AdminDown, AdministrativeDown)
	if !m.config.Passive || m.peer.discriminator != 0 {
		p := m.packet()
		p.State = Down
		m.effects = append(m.effects, Effect{Kind: Send, Packet: p})
	}
	m.nextSend, m.expires = 0, 0
}

// enter changes the state and what depends on it.
func (m *Machine) enter(s State, d Diagnostic) {
	e := Effect{Kind: Changed, From: m.state, To: s, Peer: m.peer.state, Local: d, Remote: m.peer.diagnostic}
	switch s {
	case Down:
		e.Message = fmt.Sprintf("(%s) Entering Down state (Local diagnostic - %s, Remote diagnostic - %s)", m.config.Name, d, m.peer.diagnostic)
	case Up, AdminDown:
		e.Message = fmt.Sprintf("(%s) Entering %s state", m.config.Name, s)
	}
	m.effects = append(m.effects, e)
	m.state, m.diagnostic = s, d
	if s == Up {
		m.offer(m.wanted())
	} else {
		m.settle()
	}
}

func (m *Machine) note(format string, args ...any) {
	m.effects = append(m.effects, Effect{Kind: Note, Message: "(" + m.config.Name + ") " + fmt.Sprintf(format, args...)})
}

// A Snapshot is a session at one moment.
type Snapshot struct {
	State, RemoteState           State
	Diagnostic, RemoteDiagnostic Diagnostic
	// Discriminator is ours, RemoteDiscriminator the peer's or 0 while it is not heard.
	Discriminator, RemoteDiscriminator uint32
	// Period is the interval at which we send, before jitter; Detection the time of silence after which the session
	// goes down, 0 before the first packet.
	Period, Detection time.Duration
	// Polling: a poll sequence is under way.
	Polling bool
	// Heard is when the last packet came, 0 for never.
	Heard mono.Time
}

// Snapshot returns the session as it is.
func (m *Machine) Snapshot() Snapshot {
	return Snapshot{
		State: m.state, RemoteState: m.peer.state, Diagnostic: m.diagnostic, RemoteDiagnostic: m.peer.diagnostic,
		Discriminator: m.discriminator, RemoteDiscriminator: m.peer.discriminator,
		Period: m.period, Detection: m.detection, Polling: m.polling, Heard: m.heard,
	}
}
