package vrrp

import (
	"net/netip"
	"slices"
	"strconv"

	"uvs/internal/wire"
)

// A Mismatch is a difference between two routers of one virtual router for which one drops
// the other's adverts, so that both are masters.
type Mismatch struct {
	Cause Cause
	// One and Other are the values of the routers, with their unit. Passwords are never in
	// it.
	One, Other string

	text string
}

// String returns one phrase with the field and both values, seen by the first router:
// "advert interval 2s, ours 1s".
func (m Mismatch) String() string { return m.text }

// mismatch is what one router finds of another.
func mismatch(c Cause, ours, theirs string) Mismatch {
	return Mismatch{c, ours, theirs, (&Rejection{Cause: c, Theirs: theirs, Ours: ours}).String()}
}

// Mismatches lists all differences for which one of two routers drops the other's adverts.
// Differences that are legal are not among them: the interval of version 3, priorities,
// preemption.
func Mismatches(one, other *Candidate) (list []Mismatch) {
	differ := func(c Cause, a, b string) {
		if a != b {
			list = append(list, mismatch(c, a, b))
		}
	}
	if one.IPv6 != other.IPv6 {
		differ(CauseFamily, family(one.IPv6), family(other.IPv6))
		return list // addresses cannot be compared
	}
	number := func(n uint8) string { return strconv.Itoa(int(n)) }
	differ(CauseVRID, number(one.VRID), number(other.VRID))
	differ(CauseVersion, number(one.Version), number(other.Version))
	differ(CauseDestination, one.destination(), other.destination())
	if one.Version == 2 && other.Version == 2 {
		differ(CauseAuth, one.Auth.String(), other.Auth.String())
		if one.Auth == other.Auth && one.Auth != AuthNone && one.Password != other.Password {
			list = append(list, mismatch(CausePassword, "", ""))
		}
		differ(CauseInterval, interval(one.AdvertInterval), interval(other.AdvertInterval))
	}
	if a, b := without(one.Addresses, other.Addresses), without(other.Addresses, one.Addresses); len(a)+len(b) > 0 {
		list = append(list, mismatch(CauseAddresses, few(a), few(b)))
	} else {
		differ(CauseCount, strconv.Itoa(len(one.Addresses)), strconv.Itoa(len(other.Addresses)))
	}
	if len(list) == 0 {
		list = append(list, one.refuses(other)...)
	}
	if len(list) == 0 {
		for _, m := range other.refuses(one) {
			list = append(list, Mismatch{m.Cause, m.Other, m.One, m.text})
		}
	}
	return list
}

// destination is how adverts are sent.
func (c *Candidate) destination() string {
	if c.Unicast() {
		return cast(false)
	}
	if !c.Group.IsValid() {
		return cast(true)
	}
	return cast(true) + " to " + c.Group.String()
}

// refuses has an advert of the other arrive, for all that the eye does not see.
func (c *Candidate) refuses(other *Candidate) []Mismatch {
	from, to := other.Source, c.Source
	if other.Unicast() && to.IsValid() && !slices.ContainsFunc(other.Peers, func(p Peer) bool { return p.Addr.WithZone("") == to.WithZone("") }) {
		m := mismatch(CausePeer, few(other.peers()), to.String())
		return []Mismatch{{CausePeer, m.Other, m.One, m.text}}
	}
	check := c.Instance
	if !from.IsValid() {
		from, check.CheckPeers = anyAddr(c.IPv6, 1), false
	}
	if to = c.Group; !to.IsValid() {
		to = anyAddr(c.IPv6, 2)
	}
	m := Message{
		Advert: Advert{
			Version: other.Version, VRID: other.VRID, Priority: other.Priority, Auth: other.Auth, Password: other.Password,
			Interval: other.AdvertInterval, Addresses: other.Addresses,
		},
		Checksum: other.Checksum, Sequence: 1,
	}
	p := Packet{Source: from.WithZone(""), Destination: to, TTL: -1, AH: other.Auth == AuthAH}
	if c.IPv6 {
		p.Payload = m.AppendIPv6(nil, p.Source, to)
	} else {
		packet := m.AppendIPv4(nil, from, to, multicastTTL, 1)
		p.Header, p.Payload = packet[:wire.IPv4Len], packet[wire.IPv4Len:]
	}
	var r receiver
	if _, bad := r.accept(&check, &p); bad != nil {
		return []Mismatch{mismatch(bad.Cause, bad.Ours, bad.Theirs)}
	}
	return nil
}

func (c *Candidate) peers() (list []netip.Addr) {
	for _, p := range c.Peers {
		list = append(list, p.Addr)
	}
	return list
}

// anyAddr stands for an address that is not known (RFC 5737, RFC 3849).
func anyAddr(ipv6 bool, n byte) netip.Addr {
	if ipv6 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 15: n})
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, n})
}
