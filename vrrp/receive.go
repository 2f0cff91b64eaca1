package vrrp

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"uvs/internal/wire"
)

const multicastTTL = 255

// A receiver holds an instance's incoming adverts to its configuration, and what it remembers
// of those it took. The zero receiver has seen none.
type receiver struct {
	oldChecksum bool       // a peer that has the old form was heard
	compared    netip.Addr // source of the last advert whose addresses were compared
	sequences   map[netip.Addr]uint32
	top         uint32
}

// checksum returns the form to send with now.
func (r *receiver) checksum(i *Instance) Checksum {
	if i.Checksum == ChecksumAuto && r.oldChecksum {
		return ChecksumOld
	}
	return i.Checksum
}

// highest returns the highest sequence number in an authentic AH header so far. A router that
// takes over goes on from there: keepalived's peers have one count for all senders.
func (r *receiver) highest() uint32 { return r.top }

// accept checks a packet as keepalived 2.2.7 does, in its order, and returns its advert or why
// it is dropped. A dropped packet restarts no timer, so that a difference in configuration
// makes two masters, as between two keepalived.
//
// Different from keepalived: AH sequence numbers are counted by source, so that of two masters
// each hears the other; after following the old form of the checksum the new one is still
// taken; version 3 without an interval is dropped, as it would make every backup master.
// Packets of our own are not recognised here.
func (r *receiver) accept(i *Instance, p *Packet) (Advert, *Rejection) {
	m, rej := unwrap(i, p)
	if rej != nil {
		return Advert{}, rej
	}
	if rej := checkArrival(i, p, m); rej != nil {
		return Advert{}, rej
	}
	a := read(m, i.IPv6)
	if rej := r.checkSender(i, p, &a); rej != nil {
		return Advert{}, rej
	}
	if kind := m[0] & 0x0f; kind != typeAdvert {
		return Advert{}, wrongType(kind)
	}
	source := p.Source.WithZone("")
	compare := !i.SkipAddressCheck || source != r.compared
	if compare && len(a.Addresses) != len(i.Addresses) {
		return Advert{}, wrongCount(len(a.Addresses), len(i.Addresses))
	}
	old, rej := checkSum(i, p, m)
	if rej != nil {
		return Advert{}, rej
	}
	if rej := checkDestination(i, p); rej != nil {
		return Advert{}, rej
	}
	if compare {
		if rej := checkAddresses(i, &a); rej != nil {
			return Advert{}, rej
		}
	}
	if rej := checkPeer(i, p); rej != nil {
		return Advert{}, rej
	}
	r.compared = source
	r.oldChecksum = r.oldChecksum || old
	return a, nil
}

// unwrap returns the message in a packet. It has the virtual router of the instance, and
// headerLen bytes at least.
func unwrap(i *Instance, p *Packet) ([]byte, *Rejection) {
	if ipv6 := !p.Source.Is4(); ipv6 != i.IPv6 || ipv6 == p.Destination.Is4() {
		return nil, &Rejection{Cause: CauseFamily, Theirs: family(ipv6), Ours: family(i.IPv6)}
	}
	kind := "IPv6 VRRP packet"
	around := 0
	if !i.IPv6 {
		kind, around = "IPv4 VRRP packet", max(len(p.Header), wire.IPv4Len)
	}
	m, total := p.Payload, around+len(p.Payload)
	if p.AH {
		kind, around = "IPv4 VRRP packet with AH", around+ahLen
		m = m[min(len(m), ahLen):]
	}
	if len(m) < headerLen {
		return nil, truncated(total, around+headerLen, kind)
	}
	if m[1] != i.VRID {
		return nil, &Rejection{Cause: CauseVRID, Theirs: strconv.Itoa(int(m[1])), Ours: strconv.Itoa(int(i.VRID))}
	}
	if want := i.Auth == AuthAH; p.AH != want {
		r := &Rejection{CauseAH, "has no AH", "has AH", "No AH header but auth type is AH"}
		if p.AH {
			r = &Rejection{CauseAH, "has AH", "has no AH", "Received AH header but auth type not AH"}
		}
		return nil, r
	}
	if want := messageLen(m, i.IPv6); len(m) != want {
		return nil, wrongLength(total, around+want)
	}
	return m, nil
}

func family(ipv6 bool) string {
	if ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

func checkArrival(i *Instance, p *Packet, m []byte) *Rejection {
	if !i.Unicast() && p.TTL >= 0 && p.TTL != multicastTTL {
		return &Rejection{CauseTTL, strconv.Itoa(p.TTL), strconv.Itoa(multicastTTL),
			fmt.Sprintf("invalid TTL/HL. Received %d and expect %d", p.TTL, multicastTTL)}
	}
	if version := m[0] >> 4; version != i.Version {
		return wrongVersion(version, strconv.Itoa(int(i.Version)))
	}
	return nil
}

// checkSender checks authentication and interval.
func (r *receiver) checkSender(i *Instance, p *Packet, a *Advert) *Rejection {
	if i.Version != 2 {
		if a.Interval == 0 {
			return &Rejection{Cause: CauseInterval, Theirs: interval(0), Ours: interval(i.AdvertInterval)}
		}
		return nil
	}
	switch {
	case a.Auth > AuthAH:
		return &Rejection{CauseAuthUnknown, a.Auth.String(), i.Auth.String(),
			fmt.Sprintf("Invalid auth type: %d", a.Auth)}
	case a.Auth != i.Auth:
		return &Rejection{CauseAuth, a.Auth.String(), i.Auth.String(),
			fmt.Sprintf("received a %d auth, expecting %d!", a.Auth, i.Auth)}
	case a.Auth == AuthPass && subtle.ConstantTimeCompare(a.Password[:], i.Password[:]) == 0:
		return &Rejection{Cause: CausePassword, Theirs: "another", Ours: "configured",
			phrase: "received an invalid passwd!"}
	case a.Auth == AuthAH:
		if rej := r.checkAH(i, p); rej != nil {
			return rej
		}
	}
	if a.Interval != i.AdvertInterval {
		return &Rejection{CauseInterval, interval(a.Interval), interval(i.AdvertInterval),
			fmt.Sprintf("advertisement interval mismatch mine=%d sec rcv'd=%d sec",
				i.AdvertInterval/time.Second, a.Interval/time.Second)}
	}
	return nil
}

// checkAH checks an authentication header, and notes the sequence number of an authentic one.
func (r *receiver) checkAH(i *Instance, p *Packet) *Rejection {
	ah := p.Payload[:ahLen]
	if ah[0] != protocolVRRP {
		return &Rejection{Cause: CauseAHNext, Theirs: strconv.Itoa(int(ah[0])), Ours: strconv.Itoa(protocolVRRP)}
	}
	digest := ahDigest(i.Password, p.Header, p.Payload, i.Unicast())
	if subtle.ConstantTimeCompare(ah[ahDigestAt:], digest[:]) == 0 {
		return &Rejection{Cause: CauseAHDigest, Theirs: "another", Ours: "computed",
			phrase: "IPSEC-AH : invalid IPSEC HMAC-MD5 value. Due to fields mutation or bad password !"}
	}
	source := p.Source.As4()
	if spi := [4]byte(ah[4:8]); spi != source {
		// keepalived has the two the wrong way round, in the byte order of the machine.
		return &Rejection{CauseAHSPI, netip.AddrFrom4(spi).String(), p.Source.String(),
			fmt.Sprintf("IPSEC AH : invalid IPSEC SPI value. %d and expect %d",
				binary.NativeEndian.Uint32(source[:]), binary.NativeEndian.Uint32(spi[:]))}
	}
	sequence := binary.BigEndian.Uint32(ah[8:12])
	if last := r.sequences[p.Source]; sequence <= last {
		return &Rejection{CauseAHReplay, strconv.FormatUint(uint64(sequence), 10), strconv.FormatUint(uint64(last), 10),
			fmt.Sprintf("IPSEC-AH : sequence number %d already processed. Packet dropped. Local(%d)", sequence, last)}
	}
	if r.sequences == nil {
		r.sequences = make(map[netip.Addr]uint32)
	}
	r.sequences[p.Source] = sequence
	r.top = max(r.top, sequence)
	return nil
}

func wrongCount(theirs, ours int) *Rejection {
	return &Rejection{CauseCount, strconv.Itoa(theirs), strconv.Itoa(ours),
		fmt.Sprintf("received an unexpected ip number count %d, expected %d!", theirs, ours)}
}

// checkSum checks the checksum by the form of the instance, and reports whether it is the old
// form of a unicast peer, to be followed.
func checkSum(i *Instance, p *Packet, m []byte) (old bool, rej *Rejection) {
	valid := func(form Checksum) bool {
		return messageSum(m, p.Source, p.Destination, form) == 0xffff
	}
	if valid(i.Checksum) || i.Checksum == ChecksumAsV2 && valid(ChecksumNever) {
		return false, nil
	}
	if i.Checksum == ChecksumAuto && i.Unicast() && valid(ChecksumOld) {
		return true, nil
	}
	return false, wrongChecksum(i, p, m)
}

// wrongChecksum tells the form that the sender has, if it is a known one.
func wrongChecksum(i *Instance, p *Packet, m []byte) *Rejection {
	sent := binary.BigEndian.Uint16(m[6:8])
	theirs := fmt.Sprintf("0x%04x", sent)
	for _, known := range []struct {
		form Checksum
		what string
	}{
		{ChecksumNever, "with the pseudo header"},
		{ChecksumOld, "with the multicast group in the pseudo header"},
		{ChecksumAsV2, "without pseudo header"},
	} {
		if i.Version == 3 && messageSum(m, p.Source, p.Destination, known.form) == 0xffff {
			theirs += " (" + known.what + ")"
			break
		}
	}
	// The sum over the message is the complement of the right checksum once the sent one is
	// taken out of it.
	right := wire.Delta(0).Swap16(sent, 0).ApplyPartial(messageSum(m, p.Source, p.Destination, i.Checksum))
	return &Rejection{CauseChecksum, theirs, fmt.Sprintf("0x%04x", ^right),
		fmt.Sprintf("Invalid VRRPv%d checksum", i.Version)}
}

func checkDestination(i *Instance, p *Packet) *Rejection {
	multicast := p.Destination.IsMulticast()
	if multicast != i.Unicast() {
		return nil
	}
	theirs, ours := cast(multicast), cast(!multicast)
	return &Rejection{CauseDestination, theirs, ours,
		fmt.Sprintf("Expected %s packet but received %s packet", ours, theirs)}
}

func cast(multicast bool) string {
	if multicast {
		return "multicast"
	}
	return "unicast"
}

func checkAddresses(i *Instance, a *Advert) *Rejection {
	missing := without(i.Addresses, a.Addresses)
	if len(missing) == 0 {
		return nil
	}
	return &Rejection{CauseAddresses, few(without(a.Addresses, i.Addresses)), few(missing),
		fmt.Sprintf("ip address associated with VRID %d not present in MASTER advert: %s", i.VRID, missing[0])}
}

// without returns the addresses that others lack. Both lists are mostly equal, in the same
// order.
func without(addrs, others []netip.Addr) []netip.Addr {
	if slices.Equal(addrs, others) {
		return nil
	}
	var only []netip.Addr
	for _, a := range addrs {
		if !slices.Contains(others, a) {
			only = append(only, a)
		}
	}
	return only
}

// few writes the first addresses of a list.
func few(addrs []netip.Addr) string {
	const most = 4
	if len(addrs) == 0 {
		return "none"
	}
	words := make([]string, 0, most)
	for _, a := range addrs[:min(len(addrs), most)] {
		words = append(words, a.String())
	}
	s := strings.Join(words, " ")
	if more := len(addrs) - most; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

func checkPeer(i *Instance, p *Packet) *Rejection {
	if !i.CheckPeers || !i.Unicast() {
		return nil
	}
	source := p.Source.WithZone("")
	at := slices.IndexFunc(i.Peers, func(peer Peer) bool { return peer.Addr.WithZone("") == source })
	if at < 0 {
		addrs := make([]netip.Addr, len(i.Peers))
		for n, peer := range i.Peers {
			addrs[n] = peer.Addr
		}
		return &Rejection{CausePeer, source.String(), few(addrs),
			fmt.Sprintf("unicast source address %s not a unicast peer", source)}
	}
	peer := i.Peers[at]
	if p.TTL >= 0 && (p.TTL < int(peer.MinTTL) || p.TTL > int(peer.MaxTTL)) {
		return &Rejection{CausePeerTTL, strconv.Itoa(p.TTL), fmt.Sprintf("%d to %d", peer.MinTTL, peer.MaxTTL),
			fmt.Sprintf("TTL/HL %d not in range %d - %d", p.TTL, peer.MinTTL, peer.MaxTTL)}
	}
	return nil
}
