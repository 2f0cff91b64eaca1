package vrrp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// A flaw is one thing that is wrong with a packet, or with us as the receiver.
type flaw struct {
	cause     Cause
	instance  func() *Instance
	spoil     func(*Instance, *Message)
	damage    func(*Packet)
	want      string // our words
	keepalive string // and keepalived's
	// unheard: keepalived has words for it, but its sockets do not receive the packet.
	unheard bool
}

// flaws has each cause but CauseOwn, in the order of the checks.
var flaws = []flaw{
	{CauseFamily, overIPv6, nil, func(p *Packet) { *p = *deliver(version3(), sending(version3())) },
		"packet is IPv4, ours IPv6", "", false},
	{CauseTruncated, version2, nil, func(p *Packet) { p.Payload = p.Payload[:7] },
		"packet has 27 bytes, headers alone 28 bytes", "IPv4 VRRP packet too short - 27 bytes", false},
	{CauseTruncated, func() *Instance { return withAuth(AuthAH, "x") }, nil, func(p *Packet) { p.Payload = p.Payload[:20] },
		"packet has 40 bytes, headers alone 52 bytes", "IPv4 VRRP packet with AH too short - 40 bytes", false},
	{CauseTruncated, overIPv6, nil, func(p *Packet) { p.Payload = p.Payload[:3] },
		"packet has 3 bytes, headers alone 8 bytes", "IPv6 VRRP packet too short - 3 bytes", false},
	{CauseVRID, version2, func(_ *Instance, m *Message) { m.VRID = 52 }, nil, "VRID 52, ours 51", "", false},
	{CauseAH, func() *Instance { return withAuth(AuthAH, "x") }, func(_ *Instance, m *Message) { m.Auth = AuthPass }, nil,
		"packet has no AH, ours has AH", "(VI) No AH header but auth type is AH", true},
	{CauseAH, version2, func(_ *Instance, m *Message) { m.Auth = AuthAH }, nil,
		"packet has AH, ours has no AH", "(VI) Received AH header but auth type not AH", true},
	{CauseShort, version2, nil, func(p *Packet) { p.Payload = p.Payload[:len(p.Payload)-1] },
		"packet has 43 bytes, its address count says 44 bytes", "(VI) vrrp packet too short, length 43 and expect 44", false},
	{CauseLong, overIPv6, nil, func(p *Packet) { p.Payload = append(p.Payload, 0) },
		"packet has 41 bytes, its address count says 40 bytes", "(VI) vrrp packet too long, length 41 and expect 40", false},
	{CauseTTL, version2, nil, func(p *Packet) { p.TTL = 254 },
		"TTL 254, multicast of the same link has 255", "(VI) invalid TTL/HL. Received 254 and expect 255", false},
	{CauseVersion, version3, func(_ *Instance, m *Message) { m.Version = 2 }, nil,
		"version 2, ours 3", "(VI) wrong version. Received 2 and expect 3", false},
	{CauseAuthUnknown, version2, func(_ *Instance, m *Message) { m.Auth = 7 }, nil,
		"authentication type 7 does not exist, ours none", "(VI) Invalid auth type: 7", false},
	{CauseAuth, version2, func(_ *Instance, m *Message) { m.Auth = AuthPass }, nil,
		"authentication PASS, ours none", "(VI) received a 1 auth, expecting 0!", false},
	{CausePassword, func() *Instance { return withAuth(AuthPass, "secret") }, func(_ *Instance, m *Message) { m.Password[0]++ }, nil,
		"password differs from ours", "(VI) received an invalid passwd!", false},
	{CauseAHNext, func() *Instance { return withAuth(AuthAH, "secret") }, nil, func(p *Packet) { p.Payload[0] = 50 },
		"authentication header of protocol 50, not 112", "", false},
	{CauseAHDigest, func() *Instance { return withAuth(AuthAH, "secret") }, func(_ *Instance, m *Message) { m.Password[0]++ }, nil,
		"AH digest differs: another password, or changed on its way",
		"(VI) IPSEC-AH : invalid IPSEC HMAC-MD5 value. Due to fields mutation or bad password !", false},
	{CauseAHSPI, func() *Instance { return withAuth(AuthAH, "secret") }, nil, func(p *Packet) {
		p.Payload[7]++
		redigest(p)
	}, "AH SPI 10.9.0.3 is not the source address 10.9.0.2", spiPhrase(theirAddr, thirdAddr), false},
	{CauseAHReplay, func() *Instance { return withAuth(AuthAH, "secret") }, func(_ *Instance, m *Message) { m.Sequence = 0 }, nil,
		"AH sequence number 0, already had 0", "(VI) IPSEC-AH : sequence number 0 already processed. Packet dropped. Local(0)", false},
	{CauseInterval, version2, func(_ *Instance, m *Message) { m.Interval = 2 * time.Second }, nil,
		"advert interval 2s, ours 1s", "(VI) advertisement interval mismatch mine=1 sec rcv'd=2 sec", false},
	{CauseInterval, version3, func(_ *Instance, m *Message) { m.Interval = 0 }, nil, "advert interval 0s, ours 1s", "", false},
	{CauseType, version2, nil, func(p *Packet) { p.Payload[0] = 0x22 },
		"message type 2, an advert is 1", "(VI) Invalid packet type. 2 and expect 1", false},
	{CauseCount, version2, func(i *Instance, m *Message) { m.Addresses = i.Addresses[:1] }, nil,
		"1 addresses, ours 2", "(VI) received an unexpected ip number count 1, expected 2!", false},
	{CauseChecksum, version2, nil, func(p *Packet) { p.Payload[2]++ },
		"checksum 0x33ee should be 0x32ee", "(VI) Invalid VRRPv2 checksum", false},
	{CauseChecksum, version3, func(_ *Instance, m *Message) { m.Checksum = ChecksumAsV2 }, nil,
		"checksum 0x238b (without pseudo header) should be 0x38ed", "(VI) Invalid VRRPv3 checksum", false},
	{CauseDestination, version3, nil, func(p *Packet) { p.Destination = ourAddr; resum(p) },
		"sent by unicast, ours multicast", "(VI) Expected multicast packet but received unicast packet", true},
	{CauseDestination, func() *Instance { return withPeer(version3()) }, nil, func(p *Packet) { p.Destination = mcast4; resum(p) },
		"sent by multicast, ours unicast", "(VI) Expected unicast packet but received multicast packet", true},
	{CauseDestination, func() *Instance { return withPeer(overIPv6()) }, nil, func(p *Packet) { p.Destination = mcast6; resum(p) },
		"sent by multicast, ours unicast", "(VI) Expected unicast packet but received multicast packet", true},
	{CauseAddresses, version3, func(_ *Instance, m *Message) { m.Addresses = addrList("10.9.0.101 10.9.0.109") }, nil,
		"addresses differ: only theirs 10.9.0.109, only ours 10.9.0.100",
		"(VI) ip address associated with VRID 51 not present in MASTER advert: 10.9.0.100", false},
	{CauseAddresses, overIPv6, func(_ *Instance, m *Message) { m.Addresses = addrList("fe80::51 2001:db8::52") }, nil,
		"addresses differ: only theirs 2001:db8::52, only ours 2001:db8::51",
		"(VI) ip address associated with VRID 51 not present in MASTER advert: 2001:db8::51", false},
	{CausePeer, func() *Instance {
		i := withPeer(version2())
		i.CheckPeers, i.Peers[0].Addr = true, thirdAddr
		return i
	}, nil, nil,
		"source 10.9.0.2 is not a unicast peer; have 10.9.0.3", "(VI) unicast source address 10.9.0.2 not a unicast peer", false},
	{CausePeerTTL, func() *Instance {
		i := withPeer(version2())
		i.CheckPeers, i.Peers[0].MinTTL, i.Peers[0].MaxTTL = true, 200, 250
		return i
	}, nil, nil, "TTL 255, this peer may have 200 to 250", "(VI) TTL/HL 255 not in range 200 - 250", false},
}

// redigest makes the digest of a packet from peers of withAuth(AuthAH, "secret") right again.
func redigest(p *Packet) {
	digest := ahDigest(withAuth(AuthAH, "secret").Password, p.Header, p.Payload, !p.Destination.IsMulticast())
	copy(p.Payload[ahDigestAt:], digest[:])
}

func spiPhrase(source, spi netip.Addr) string {
	have, want := source.As4(), spi.As4()
	return fmt.Sprintf("IPSEC AH : invalid IPSEC SPI value. %d and expect %d",
		binary.NativeEndian.Uint32(have[:]), binary.NativeEndian.Uint32(want[:]))
}

// A doubleFlaw is a packet with two flaws.
type doubleFlaw struct {
	name   string
	packet *Packet
	want   Cause
}

// doubleFlawed returns an instance and packets for it with any two of the flaws that can meet.
func doubleFlawed() (*Instance, []doubleFlaw) {
	i := withPeer(withAuth(AuthPass, "secret"))
	i.CheckPeers = true
	steps := []struct {
		cause  Cause
		spoil  func(*Message)
		damage func(*Packet)
	}{
		{CauseVRID, func(m *Message) { m.VRID++ }, nil},
		{CauseLong, nil, func(p *Packet) { p.Payload = append(p.Payload, 0) }},
		{CauseVersion, nil, func(p *Packet) { p.Payload[0] |= 0x40 }}, // 6, which has no tail
		{CauseAuthUnknown, nil, func(p *Packet) { p.Payload[4] |= 0x80 }},
		{CauseAuth, nil, func(p *Packet) { p.Payload[4] ^= 1 }},
		{CausePassword, func(m *Message) { m.Password[7]++ }, nil},
		{CauseInterval, func(m *Message) { m.Interval += time.Second }, nil},
		{CauseType, nil, func(p *Packet) { p.Payload[0] ^= 2 }},
		{CauseCount, func(m *Message) { m.Addresses = append(addrList("10.9.0.99"), m.Addresses...) }, nil},
		{CauseChecksum, nil, func(p *Packet) { p.Payload[6]++ }},
		{CauseDestination, nil, func(p *Packet) { p.Destination = mcast4 }},
		{CauseAddresses, func(m *Message) { m.Addresses = append(addrList("10.9.0.98"), m.Addresses[1:]...) }, nil},
		{CausePeer, nil, func(p *Packet) { p.Source = thirdAddr }},
	}
	var packets []doubleFlaw
	for n, first := range steps {
		for _, second := range steps[n+1:] {
			m := sending(i)
			for _, f := range []func(*Message){second.spoil, first.spoil} {
				if f != nil {
					f(m)
				}
			}
			p := deliver(i, m)
			for _, f := range []func(*Packet){second.damage, first.damage} {
				if f != nil {
					f(p)
				}
			}
			want := first.cause
			if want != CauseVRID && (first.cause == CauseVersion || second.cause == CauseVersion) {
				want = CauseLong // by the tail
			}
			packets = append(packets, doubleFlaw{first.cause.String() + " and " + second.cause.String(), p, want})
		}
	}
	return i, packets
}
