package hostnet

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// placeFlags are the header's flags of a new route.
func placeFlags(p RoutePlace) uint16 {
	switch p {
	case Exclusive:
		return createNew
	case Append:
		return unix.NLM_F_CREATE | unix.NLM_F_APPEND
	case Replace:
		return unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	return unix.NLM_F_CREATE
}

// encodeRoute is the request that adds or deletes a route (struct rtmsg). One that deletes
// names only what tells routes apart: the kernel takes all else for a condition, too.
func encodeRoute(r RouteSpec, deleting bool) ([]byte, error) {
	if !r.Dst.IsValid() {
		return nil, fmt.Errorf("a route needs a destination")
	}
	var flags uint32
	if len(r.Hops) == 1 && r.Hops[0].OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	scope := r.Scope
	if deleting {
		scope = unix.RT_SCOPE_NOWHERE // any
	}
	dst := r.Dst.Masked()
	e := encoder{[]byte{
		byte(familyOf(dst.Addr())), byte(dst.Bits()), lengthOf(r.From), r.TOS, tableByte(r.Table), r.Protocol, scope, byte(r.Kind),
	}}
	e.b = binary.NativeEndian.AppendUint32(e.b, flags)
	e.addr(unix.RTA_DST, dst.Addr())
	if r.From.IsValid() {
		e.addr(unix.RTA_SRC, r.From.Addr())
	}
	e.u32(unix.RTA_TABLE, r.Table)
	if r.Metric != 0 {
		e.u32(unix.RTA_PRIORITY, r.Metric)
	}
	e.addr(unix.RTA_PREFSRC, r.Source)
	if !deleting {
		e.routeOptions(r)
	}
	return e.b, e.hops(r.Hops, deleting)
}

// routeOptions appends what does not tell a route from others.
func (e *encoder) routeOptions(r RouteSpec) {
	e.routeMetrics(r)
	if r.Realms != 0 {
		e.u32(unix.RTA_FLOW, r.Realms)
	}
	if r.HasExpires {
		e.u32(unix.RTA_EXPIRES, r.Expires)
	}
	if r.HasPreference {
		e.u8(unix.RTA_PREF, r.Preference)
	}
	if r.HasTTLPropagate {
		var on uint8
		if r.TTLPropagate {
			on = 1
		}
		e.u8(unix.RTA_TTL_PROPAGATE, on)
	}
}

func (e *encoder) routeMetrics(r RouteSpec) {
	if len(r.Metrics) == 0 && r.CongestionControl == "" {
		return
	}
	var locks uint32
	e.nest(unix.RTA_METRICS, func(e *encoder) {
		for _, m := range r.Metrics {
			if m.Locked {
				locks |= 1 << m.Attribute
			}
			e.u32(uint16(m.Attribute), m.Value)
		}
		if r.CongestionControl != "" {
			if r.CongestionLocked {
				locks |= 1 << unix.RTAX_CC_ALGO
			}
			e.str(unix.RTAX_CC_ALGO, r.CongestionControl)
		}
		if locks != 0 {
			e.u32(unix.RTAX_LOCK, locks)
		}
	})
}

// hops appends the ways out: one as attributes of the route, several as RTA_MULTIPATH.
func (e *encoder) hops(hops []HopSpec, deleting bool) (err error) {
	if len(hops) == 1 {
		if hops[0].Link != 0 {
			e.u32(unix.RTA_OIF, uint32(hops[0].Link))
		}
		return e.hop(hops[0], deleting)
	}
	if len(hops) == 0 {
		return nil
	}
	e.nest(unix.RTA_MULTIPATH, func(e *encoder) {
		for _, h := range hops {
			if errHop := e.nextHop(h, deleting); errHop != nil {
				err = errHop
			}
		}
	})
	return err
}

// nextHop appends a struct rtnexthop with its attributes.
func (e *encoder) nextHop(h HopSpec, deleting bool) error {
	if h.Weight < 0 || h.Weight > 256 {
		return fmt.Errorf("the weight of a next hop is 1 to 256, not %d", h.Weight)
	}
	start := len(e.b)
	var flags byte
	if h.OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	e.b = append(e.b, 0, 0, flags, byte(max(h.Weight, 1)-1))
	e.b = binary.NativeEndian.AppendUint32(e.b, uint32(h.Link))
	if h.Realms != 0 && !deleting {
		e.u32(unix.RTA_FLOW, h.Realms)
	}
	err := e.hop(h, deleting)
	binary.NativeEndian.PutUint16(e.b[start:], uint16(len(e.b)-start))
	return err
}

// hop appends what a single way and a next hop have in common.
func (e *encoder) hop(h HopSpec, deleting bool) error {
	e.addr(unix.RTA_GATEWAY, h.Gateway)
	if h.Encap == nil || deleting {
		return nil
	}
	e.u16(unix.RTA_ENCAP_TYPE, uint16(h.Encap.Kind))
	var err error
	e.nest(unix.RTA_ENCAP|unix.NLA_F_NESTED, func(e *encoder) { err = e.encap(h.Encap) })
	return err
}

// Attributes of light-weight tunnels: LWTUNNEL_IP_ and LWTUNNEL_IP6_ in linux/lwtunnel.h,
// which have the same numbers, MPLS_IPTUNNEL_ in linux/mpls_iptunnel.h, ILA_ATTR_ in
// linux/ila.h.
const (
	lwtID, lwtDst, lwtSrc, lwtTTL, lwtTOS, lwtFlags = 1, 2, 3, 4, 5, 6

	mplsDst, mplsTTL = 1, 2

	ilaLocator = 1
)

// encap appends the attributes of a light-weight tunnel.
func (e *encoder) encap(t *Encap) error {
	switch t.Kind {
	case EncapIP, EncapIP6:
		if t.HasID {
			e.be64(lwtID, t.ID)
		}
		e.addr(lwtDst, t.Dest)
		e.addr(lwtSrc, t.Source)
		if t.TTL != 0 {
			e.u8(lwtTTL, t.TTL)
		}
		if t.TOS != 0 {
			e.u8(lwtTOS, t.TOS)
		}
		if t.Flags != 0 {
			e.be16(lwtFlags, t.Flags)
		}
	case EncapMPLS:
		if len(t.Labels) == 0 {
			return fmt.Errorf("an MPLS tunnel needs a label")
		}
		e.raw(mplsDst, labelStack(t.Labels))
		if t.PropagateTTL != 0 {
			e.u8(mplsTTL, t.PropagateTTL)
		}
	case EncapILA:
		e.be64(ilaLocator, t.Locator)
	default:
		return fmt.Errorf("no such tunnel: %d", t.Kind)
	}
	return nil
}

// labelStack is a stack of MPLS labels on the wire (RFC 3032, Section 2.1): 20 bits of
// label, 3 of class, the bit that marks the last, and the TTL.
func labelStack(labels []uint32) (b []byte) {
	const last = 1 << 8
	for i, l := range labels {
		entry := l << 12
		if i == len(labels)-1 {
			entry |= last
		}
		b = binary.BigEndian.AppendUint32(b, entry)
	}
	return b
}
