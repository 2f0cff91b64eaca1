package bfd

import (
	"time"

	"uvs/internal/mono"
)

// wanted returns the intervals of the configuration for the present state: RFC 5880, Section 6.8.3.
func (m *Machine) wanted() intervals {
	if m.state == Up {
		return intervals{m.config.MinTx, m.config.MinRx}
	}
	return intervals{m.config.IdleTx, m.config.MinRx}
}

// settle makes the wanted intervals those that hold, without a poll sequence: nobody relies on the old ones.
func (m *Machine) settle() {
	m.offered = m.wanted()
	m.used = m.offered
	m.polling, m.pollAgain = false, false
}

// offer changes our intervals. While up, what would make the peer miss packets, or us miss the peer's, waits until the
// peer has answered a poll.
func (m *Machine) offer(want intervals) {
	switch {
	case m.state != Up:
		m.settle()
		return
	case want == m.offered:
		return
	}
	m.offered = want
	m.used.minTx = min(m.used.minTx, want.minTx)
	m.used.minRx = max(m.used.minRx, want.minRx)
	m.pollAgain = m.polling
	m.polling = true
	m.note("Starting poll sequence")
}

// endPoll takes a packet with Final. Which poll it answers cannot be seen, so a change during a sequence gets another
// sequence (RFC 5880, Section 6.5).
func (m *Machine) endPoll() {
	switch {
	case !m.polling:
	case m.pollAgain:
		m.pollAgain = false
	default:
		m.polling = false
		m.used = m.offered
	}
}

// mute reports whether no periodic packets are to be sent: RFC 5880, Section 6.8.7.
func (m *Machine) mute() bool {
	switch p := &m.peer; {
	case m.state == AdminDown:
		return true
	case p.discriminator == 0:
		return m.config.Passive
	case p.intervals.minRx == 0:
		return true
	default:
		return p.demand && m.state == Up && p.state == Up && !m.polling
	}
}

// retime derives the timers from the intervals of both ends.
func (m *Machine) retime(now mono.Time) {
	period := max(m.used.minTx, m.peer.intervals.minRx)
	switch {
	case m.mute():
		m.nextSend = 0
	case m.sent == 0:
		m.nextSend = now
	case m.nextSend == 0 || period != m.period:
		m.nextSend = max(now, m.sent.Add(m.jittered(period)))
	}
	m.period = period

	if m.peer.discriminator == 0 {
		m.expires = 0
		return
	}
	detection := time.Duration(m.peer.multiplier) * max(m.used.minRx, m.peer.intervals.minTx)
	if detection != m.detection {
		m.note("Detection time is %d us (was %d us)", detection.Microseconds(), m.detection.Microseconds())
		m.detection = detection
	}
	m.expires = m.heard.Add(detection)
}

// jittered shortens a period by up to a quarter, and by a tenth at least where a single packet may not be late: RFC
// 5880, Section 6.8.7.
func (m *Machine) jittered(d time.Duration) time.Duration {
	if m.config.Multiplier == 1 {
		return d - d/10 - m.jitter(d/4-d/10)
	}
	return d - m.jitter(d/4)
}

// send sends a packet of the periodic kind, be it due or brought forward.
func (m *Machine) send(now mono.Time) {
	m.effects = append(m.effects, Effect{Kind: Send, Packet: m.packet()})
	m.sent = now
	m.nextSend = 0
	if !m.mute() {
		m.nextSend = now.Add(m.jittered(m.period))
	}
}

// answer answers a poll, at once and whatever else is to be sent when: a peer that polls all the time must not keep us
// from polling. A packet has one of the bits only.
func (m *Machine) answer() {
	p := m.packet()
	p.Poll, p.Final = false, true
	m.effects = append(m.effects, Effect{Kind: Send, Packet: p})
}

func (m *Machine) packet() Packet {
	return Packet{
		State: m.state, Diagnostic: m.diagnostic, Poll: m.polling, Multiplier: m.config.Multiplier,
		Discriminator: m.discriminator, YourDiscriminator: m.peer.discriminator,
		MinTx: m.offered.minTx, MinRx: m.offered.minRx,
	}
}
