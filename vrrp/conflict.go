package vrrp

import (
	"net/netip"
	"time"

	"uvs/internal/mono"
)

// A Conflict is another master beside this one. The zero Conflict is none.
type Conflict struct {
	Peer  netip.Addr
	Since mono.Time
	// Why the two do not settle it: what of its adverts we refuse, or that it does not hear us.
	Why string
	// Adverts is how many of it were heard, the last one at Last.
	Adverts uint64
	Last    mono.Time
}

// over reports whether a conflict has ended by itself: the other master is not heard any more.
func (c *Conflict) over(i *instance, now mono.Time) bool {
	silence := i.masterDown(1)
	if c.Why != "" && c.Why != deaf {
		silence = max(silence, refusedMemory)
	}
	return now.Sub(c.Last) > silence
}

// refusedMemory is how long a conflict with a peer whose adverts we refuse outlasts them. A
// keepalived that refuses ours puts off its own with each of them, and stays MASTER in silence;
// one that was put right may be a silent backup from then on. They cannot be told apart.
const refusedMemory = time.Minute

// deaf is why a lesser master stays one.
const deaf = "it goes on although we have told it of our higher priority or address: it does not hear our adverts, or refuses them"

// patience is how many intervals a lesser master may go on before that is not the protocol
// at work any more. Adverts that were queued while this host slept come all at once.
const patience = 2

// reject logs a packet that is refused, once for each cause and peer, and notes what it
// means.
func (m *Machine) reject(i *instance, p *Packet, bad *Rejection) {
	i.counters.Rejected[bad.Cause]++
	if i.rejected.news(p.Source, bad) {
		text := bad.Keepalived(i.Name)
		if text == "" {
			text = "(" + i.Name + ") refused an advert"
		}
		m.log(Warn, "%s; from %s: %s. It is ignored, and its like are not logged again", text, p.Source, bad)
	}
	switch i.state {
	case Master:
		m.noteConflict(i, p.Source, bad.String())
	case Backup:
		i.refused = refusal{peer: p.Source, why: bad.String(), at: m.now}
	}
}

// A refusal is the last advert that a backup refused.
type refusal struct {
	peer netip.Addr
	why  string
	at   mono.Time
}

// takeOverFrom notes the conflict that a takeover begins if it came about by refused adverts.
// There may be no later sign of it.
func (m *Machine) takeOverFrom(i *instance, r refusal) {
	if r.peer.IsValid() && m.now.Sub(r.at) <= i.masterDown(1) {
		m.noteConflict(i, r.peer, r.why)
	}
}

// understood ends the conflict with a peer whose adverts were refused before.
func (i *instance) understood(peer netip.Addr) {
	if c := &i.conflict; c.Peer == peer && c.Why != "" && c.Why != deaf {
		*c = Conflict{}
	}
	if i.refused.peer == peer {
		i.refused = refusal{}
	}
}

// noteConflict takes note of another master.
func (m *Machine) noteConflict(i *instance, peer netip.Addr, why string) {
	c := &i.conflict
	if c.Peer != peer || c.over(i, m.now) {
		*c = Conflict{Peer: peer, Since: m.now}
	}
	c.Last = m.now
	c.Adverts++
	switch {
	case why == c.Why, why == deaf && m.now.Sub(c.Since) <= patience*i.interval:
		return
	}
	c.Why = why
	i.counters.Conflicts++
	m.log(Warn, "(%s) two masters: %s is MASTER of VRID %d, too; %s", i.Name, peer, i.VRID, why)
}

// rejections is what was logged of the packets of each peer.
type rejections map[rejection]string

type rejection struct {
	peer  netip.Addr
	cause Cause
}

// mostRejections bounds what is remembered; of more peers each packet is logged by nobody.
const mostRejections = 256

// news reports whether a rejection has not been logged like this.
func (r *rejections) news(peer netip.Addr, bad *Rejection) bool {
	key := rejection{peer, bad.Cause}
	if last, known := (*r)[key]; known && last == bad.Theirs || !known && len(*r) >= mostRejections {
		return false
	}
	if *r == nil {
		*r = make(rejections)
	}
	(*r)[key] = bad.Theirs
	return true
}

// forget lets what a peer did be logged again.
func (r *rejections) forget(peer netip.Addr) {
	for key := range *r {
		if key.peer == peer {
			delete(*r, key)
		}
	}
}
