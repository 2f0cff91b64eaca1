package session

import (
	"fmt"
	"net/netip"
	"time"

	"uvs/bfd"
	"uvs/internal/mono"
)

// A datagram is a received packet. The payload is valid until the call that got it returns.
type datagram struct {
	from, to netip.Addr // without zone
	zone     int        // the interface that it came in by
	ttl      int        // −1: unknown
	multiHop bool       // the port it came to
	payload  []byte
}

// A session is a machine and what belongs to it.
type session struct {
	Config
	machine *bfd.Machine
	next    mono.Time // machine.Next as the queue has it, or 0
	index   int       // in the queue, or noIndex
	outlet  *outlet   // nil: to be opened
	retry   mono.Time // not to be opened before
	// openError is why outlet is nil.
	openError error

	told      [bfd.Drops]bool // reasons that had their Note since it was up
	up        bool            // as it was told
	since     mono.Time
	downs     uint64
	sent      uint64
	received  uint64
	dropped   uint64
	sendError string    // what the last attempt to send met
	toldError string    // the last of these that was told
	toldAt    mono.Time // when
}

// A board has the sessions and decides which one a packet or a moment is for. It knows no sockets and no clock, and is
// owned by one goroutine at a time.
type board struct {
	sessions        []*session // in the order of the list
	byDiscriminator map[uint32]*session
	queue           queue
	counters        Counters
	events          []Event // to be told

	// transmit sends a packet of a session; release gives up what transmit has opened.
	transmit func(s *session, now mono.Time, payload []byte) error
	release  func(s *session)
	// configured is told that a session that goes on has another TTL.
	configured func(s *session) error
	// discriminator draws a number, jitter a duration from 0 to d.
	discriminator func() uint32
	jitter        func(d time.Duration) time.Duration
	buf           []byte
}

// replace goes to another list. Sessions with the name and addresses of an old one go on with its state.
func (b *board) replace(list []Config, now mono.Time) {
	old := make(map[string]*session, len(b.sessions))
	for _, s := range b.sessions {
		old[s.Name] = s
	}
	before := b.sessions
	b.sessions = make([]*session, 0, len(list))
	kept := make(map[*session]bool, len(list))
	var added []*session
	for _, c := range list {
		if s := old[c.Name]; s != nil && !kept[s] && s.Peer == c.Peer && s.Source == c.Source && s.MultiHop == c.MultiHop {
			kept[s] = true
			b.sessions = append(b.sessions, s)
			b.configure(s, c, now)
			continue
		}
		s := &session{Config: c, index: noIndex, since: now}
		s.machine = bfd.NewMachine(c.Config, b.newDiscriminator(), b.jitter)
		b.byDiscriminator[s.machine.Discriminator()] = s
		b.sessions = append(b.sessions, s)
		added = append(added, s)
	}
	// What ends goes before what begins: they may have the same peer.
	for _, s := range before {
		if !kept[s] {
			b.remove(s, now)
		}
	}
	for _, s := range added {
		b.events = append(b.events, Event{Kind: Turned, Name: s.Name, Initial: true, Time: now})
		b.step(s, now, bfd.Event{Kind: bfd.Started})
	}
}

func (b *board) configure(s *session, c Config, now mono.Time) {
	changed, ttl := s.Config.Config != c.Config, s.TTL != c.TTL
	s.Config = c
	if ttl {
		if err := b.configured(s); err != nil {
			b.note(s, now, "(%s) %v", s.Name, err)
		}
	}
	if changed {
		b.step(s, now, bfd.Event{Kind: bfd.Configured, Config: c.Config})
	}
}

// remove ends a session. Its owner has asked for it and is told nothing.
func (b *board) remove(s *session, now mono.Time) {
	for _, e := range s.machine.Step(now, bfd.Event{Kind: bfd.Stopped}) {
		if e.Kind == bfd.Send {
			b.send(s, now, &e.Packet)
		}
	}
	b.queue.set(s, 0)
	delete(b.byDiscriminator, s.machine.Discriminator())
	b.release(s)
}

func (b *board) newDiscriminator() uint32 {
	for {
		if d := b.discriminator(); d != 0 && b.byDiscriminator[d] == nil {
			return d
		}
	}
}

// receive takes a packet from the peer of some session.
func (b *board) receive(d datagram, now mono.Time) {
	p, drop := bfd.Parse(d.payload)
	if drop != bfd.Accepted {
		b.drop(b.byAddress(&d), now, drop, &d)
		return
	}
	s, drop := b.find(&p, &d)
	if drop == bfd.Accepted {
		drop = s.checkTTL(d.ttl)
	}
	if drop != bfd.Accepted {
		b.drop(s, now, drop, &d)
		return
	}
	s.received++
	b.counters.Drops[bfd.Accepted]++
	b.step(s, now, bfd.Event{Kind: bfd.Received, Packet: p})
}

// find returns the session of a packet: RFC 5880, Section 6.8.6. The address is checked even if the discriminator is
// ours: a guess of 32 bits from elsewhere is not to take a session down.
func (b *board) find(p *bfd.Packet, d *datagram) (*session, bfd.Drop) {
	if p.YourDiscriminator == 0 {
		if s := b.byAddress(d); s != nil {
			return s, bfd.Accepted
		}
		return nil, bfd.DropNoSession
	}
	s := b.byDiscriminator[p.YourDiscriminator]
	switch {
	case s == nil || s.MultiHop != d.multiHop:
		return nil, bfd.DropNoSession
	case !s.from(d):
		return s, bfd.DropAddress
	}
	return s, bfd.Accepted
}

// byAddress returns the session with the sender's address: the one that has the receiver's too, or else one that takes
// any. It returns nil if there is none.
func (b *board) byAddress(d *datagram) (found *session) {
	for _, s := range b.sessions {
		switch {
		case s.MultiHop != d.multiHop || !s.from(d):
		case s.Source.WithZone("") == d.to:
			return s
		case !s.Source.IsValid():
			found = s
		}
	}
	return found
}

// from reports whether a packet comes from the session's peer.
func (s *session) from(d *datagram) bool {
	return s.Peer.WithZone("") == d.from && (s.Peer.Zone() == "" || s.outlet == nil || s.outlet.zone == d.zone)
}

// checkTTL is the check of RFC 5082 with keepalived's max_hops.
func (s *session) checkTTL(ttl int) bfd.Drop {
	switch least := int(s.TTL) - s.MaxHops; {
	case s.MaxHops < 0 || least <= 0:
		return bfd.Accepted
	case ttl < 0:
		return bfd.DropNoTTL
	case ttl < least:
		return bfd.DropTTL
	}
	return bfd.Accepted
}

// drop counts a packet that is not used. The first for each reason since a session was up is told; s is nil if the
// packet is no session's.
func (b *board) drop(s *session, now mono.Time, reason bfd.Drop, d *datagram) {
	b.counters.Drops[reason]++
	if s == nil {
		return
	}
	s.dropped++
	if s.told[reason] {
		return
	}
	s.told[reason] = true
	detail := ""
	if reason == bfd.DropTTL {
		detail = fmt.Sprintf(": %d, wanted %d or more", d.ttl, int(s.TTL)-s.MaxHops)
	}
	b.note(s, now, "(%s) packet from %s dropped: %s%s", s.Name, d.from, reason, detail)
}

func (b *board) note(s *session, now mono.Time, format string, args ...any) {
	b.events = append(b.events, Event{
		Kind: Note, Name: s.Name, Up: s.up, Time: now, Message: fmt.Sprintf(format, args...),
	})
}

// due serves all timers that are due and returns when the next one is, or 0 for never.
func (b *board) due(now mono.Time) mono.Time {
	for len(b.queue) > 0 {
		s := b.queue[0]
		if s.next.After(now) {
			return s.next
		}
		b.counters.Lateness.add(now.Sub(s.next))
		b.step(s, now, bfd.Event{Kind: bfd.Elapsed})
	}
	return 0
}

// step tells a machine an event and does what it wants done.
func (b *board) step(s *session, now mono.Time, e bfd.Event) {
	for _, effect := range s.machine.Step(now, e) {
		switch effect.Kind {
		case bfd.Send:
			b.send(s, now, &effect.Packet)
		case bfd.Changed:
			b.changed(s, now, &effect)
		case bfd.Note:
			b.note(s, now, "%s", effect.Message)
		case bfd.Dropped:
			b.counters.Drops[effect.Reason]++
			s.dropped++
		}
	}
	b.queue.set(s, s.machine.Next())
}

// send sends a packet. What goes wrong is told when it begins and when it ends or changes, but once a second at most.
func (b *board) send(s *session, now mono.Time, p *bfd.Packet) {
	b.buf = p.Append(b.buf[:0])
	s.sendError = ""
	if err := b.transmit(s, now, b.buf); err != nil {
		s.sendError = err.Error()
	} else {
		s.sent++
	}
	if s.sendError == s.toldError || s.toldAt != 0 && now.Sub(s.toldAt) < retryEvery {
		return
	}
	s.toldError, s.toldAt = s.sendError, now
	if s.sendError == "" {
		b.note(s, now, "(%s) sending to %s again", s.Name, s.Peer)
	} else {
		b.note(s, now, "(%s) nothing is sent to %s: %s", s.Name, s.Peer, s.sendError)
	}
}

// changed tells a change of state, as a Note where it is no news to those who track the session.
func (b *board) changed(s *session, now mono.Time, e *bfd.Effect) {
	up := s.up
	switch {
	case e.To == bfd.Up:
		up = true
	case e.To == bfd.Down && e.Peer != bfd.AdminDown:
		up = false
	}
	if up == s.up {
		if e.Message != "" {
			b.note(s, now, "%s", e.Message)
		}
		return
	}
	s.up, s.since = up, now
	turn := Event{Kind: Turned, Name: s.Name, Up: up, Time: now, Message: e.Message}
	if up {
		s.told = [bfd.Drops]bool{}
	} else {
		s.downs++
		turn.Reason = e.Local.String()
		if e.Local == bfd.NeighborDown && e.Remote != bfd.NoDiagnostic {
			turn.Reason += " (" + e.Remote.String() + ")"
		}
	}
	b.events = append(b.events, turn)
}
