package vrrp

import "net/netip"

// strays are the sources and VRIDs that a Stray was logged of.
type strays struct {
	log  bool
	seen map[strayKey]bool
}

type strayKey struct {
	source netip.Addr
	vrid   uint8
}

// mostStrays bounds what is remembered, and so how much a forger can have logged.
const mostStrays = 256

// stray logs a Stray in keepalived's words. keepalived does so for each advert, some a second.
func (m *Machine) stray(ev Stray) {
	s, key := &m.strays, strayKey{ev.Source.WithZone(""), ev.VRID}
	if !s.log || s.seen[key] || len(s.seen) >= mostStrays {
		return
	}
	if s.seen == nil {
		s.seen = make(map[strayKey]bool)
	}
	s.seen[key] = true
	m.log(Info, "Unknown VRID(%d) received on interface(%s). ignoring... (from %s, said once)", ev.VRID, ev.Device, ev.Source)
}
