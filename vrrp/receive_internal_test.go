package vrrp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"uvs/internal/wire"
)

var (
	mcast4 = netip.MustParseAddr("224.0.0.18")
	ours   = netip.MustParseAddr("10.9.0.1")
	peer   = netip.MustParseAddr("10.9.0.2")
	other  = netip.MustParseAddr("10.9.0.3")
)

func addrList(s string) []netip.Addr {
	var list []netip.Addr
	for w := range strings.FieldsSeq(s) {
		list = append(list, netip.MustParseAddr(w))
	}
	return list
}

// v2 and v3 are instances, and sent is what a peer configured as they are sends.
func v2() *Instance {
	return &Instance{Name: "VI", Version: 2, VRID: 51, Priority: 100, AdvertInterval: time.Second, Addresses: addrList("10.9.0.100 10.9.0.101")}
}

func v3() *Instance {
	i := v2()
	i.Version = 3
	return i
}

func v6() *Instance {
	i := v3()
	i.IPv6, i.Addresses = true, addrList("fe80::51 2001:db8::51")
	return i
}

func unicast(i *Instance) *Instance {
	i.Peers = []Peer{{Addr: peer, MaxTTL: 255}}
	return i
}

func withAuth(a Auth, password string) *Instance {
	i := v2()
	i.Auth = a
	copy(i.Password[:], password)
	return i
}

// sending returns what peers of an instance send.
func sending(i *Instance) *Message {
	return &Message{Advert: Advert{Version: i.Version, VRID: i.VRID, Priority: 150, Auth: i.Auth,
		Interval: i.AdvertInterval, Password: i.Password, Addresses: i.Addresses}}
}

// packet is a message as it is received: from peer, to our address if the instance has
// peers, otherwise to the group.
func packet(i *Instance, m *Message) *Packet {
	p := &Packet{Source: peer, Destination: mcast4, TTL: 255}
	if i.Unicast() {
		p.Destination = ours
	}
	if i.IPv6 {
		p.Source, p.Destination = netip.MustParseAddr("fe80::2%eth0"), netip.MustParseAddr("ff02::12")
		p.Payload = m.AppendIPv6(nil, p.Source, p.Destination)
		return p
	}
	return received(m.AppendIPv4(nil, p.Source, p.Destination, 255, 7))
}

// received takes an IPv4 packet apart.
func received(b []byte) *Packet {
	ip := wire.IPv4(b)
	return &Packet{
		Source: netip.AddrFrom4([4]byte(ip.Source())), Destination: netip.AddrFrom4([4]byte(ip.Destination())),
		TTL: int(ip.TTL()), Header: b[:ip.HeaderLen()], AH: ip.Protocol() == protocolAH, Payload: b[ip.HeaderLen():],
	}
}

// resum makes the checksum of a packet right again.
func resum(p *Packet) {
	binary.BigEndian.PutUint16(p.Payload[6:8], 0)
	binary.BigEndian.PutUint16(p.Payload[6:8], ^messageSum(p.Payload, p.Source, p.Destination, ChecksumNever))
}

func TestAccept(t *testing.T) {
	for name, i := range map[string]*Instance{
		"version 2": v2(), "password": withAuth(AuthPass, "secret"), "AH": withAuth(AuthAH, "secret"),
		"version 3": v3(), "IPv6": v6(), "unicast": unicast(v2()), "version 3, unicast": unicast(v3()),
		"AH, unicast": unicast(withAuth(AuthAH, "secret")),
	} {
		m := sending(i)
		m.Sequence = 1
		var r receiver
		a, rej := r.accept(i, packet(i, m))
		if rej != nil {
			t.Errorf("%s: %v", name, rej)
			continue
		}
		want := m.Advert
		if i.Auth != AuthPass {
			want.Password = [8]byte{}
		}
		if !reflect.DeepEqual(a, want) {
			t.Errorf("%s: %+v, want %+v", name, a, want)
		}
	}
}

// A flaw is one thing that is wrong with a packet, or with us as the receiver.
type flaw struct {
	cause     Cause
	instance  func() *Instance
	spoil     func(*Instance, *Message)
	damage    func(*Packet)
	want      string
	keepalive string
}

// flaws has each cause but CauseOwn, in the order of the checks.
var flaws = []flaw{
	{CauseFamily, v6, nil, func(p *Packet) { *p = *packet(v3(), sending(v3())) },
		"packet is IPv4, ours IPv6", ""},
	{CauseTruncated, v2, nil, func(p *Packet) { p.Payload = p.Payload[:7] },
		"packet has 27 bytes, headers alone 28 bytes", "IPv4 VRRP packet too short - 27 bytes"},
	{CauseTruncated, func() *Instance { return withAuth(AuthAH, "x") }, nil, func(p *Packet) { p.Payload = p.Payload[:20] },
		"packet has 40 bytes, headers alone 52 bytes", "IPv4 VRRP packet with AH too short - 40 bytes"},
	{CauseTruncated, v6, nil, func(p *Packet) { p.Payload = p.Payload[:3] },
		"packet has 3 bytes, headers alone 8 bytes", "IPv6 VRRP packet too short - 3 bytes"},
	{CauseVRID, v2, func(_ *Instance, m *Message) { m.VRID = 52 }, nil, "VRID 52, ours 51", ""},
	{CauseAH, func() *Instance { return withAuth(AuthAH, "x") }, func(_ *Instance, m *Message) { m.Auth = AuthPass }, nil,
		"packet has no AH, ours has AH", "(VI) No AH header but auth type is AH"},
	{CauseAH, v2, func(_ *Instance, m *Message) { m.Auth = AuthAH }, nil,
		"packet has AH, ours has no AH", "(VI) Received AH header but auth type not AH"},
	{CauseShort, v2, nil, func(p *Packet) { p.Payload = p.Payload[:len(p.Payload)-1] },
		"packet has 43 bytes, its address count says 44 bytes", "(VI) vrrp packet too short, length 43 and expect 44"},
	{CauseLong, v6, nil, func(p *Packet) { p.Payload = append(p.Payload, 0) },
		"packet has 41 bytes, its address count says 40 bytes", "(VI) vrrp packet too long, length 41 and expect 40"},
	{CauseTTL, v2, nil, func(p *Packet) { p.TTL = 254 },
		"TTL 254, multicast of the same link has 255", "(VI) invalid TTL/HL. Received 254 and expect 255"},
	{CauseVersion, v3, func(_ *Instance, m *Message) { m.Version = 2 }, nil,
		"version 2, ours 3", "(VI) wrong version. Received 2 and expect 3"},
	{CauseAuthUnknown, v2, func(_ *Instance, m *Message) { m.Auth = 7 }, nil,
		"authentication type 7 does not exist, ours none", "(VI) Invalid auth type: 7"},
	{CauseAuth, v2, func(_ *Instance, m *Message) { m.Auth = AuthPass }, nil,
		"authentication PASS, ours none", "(VI) received a 1 auth, expecting 0!"},
	{CausePassword, func() *Instance { return withAuth(AuthPass, "secret") }, func(_ *Instance, m *Message) { m.Password[0]++ }, nil,
		"password differs from ours", "(VI) received an invalid passwd!"},
	{CauseAHNext, func() *Instance { return withAuth(AuthAH, "secret") }, nil, func(p *Packet) { p.Payload[0] = 50 },
		"authentication header of protocol 50, not 112", ""},
	{CauseAHDigest, func() *Instance { return withAuth(AuthAH, "secret") }, func(_ *Instance, m *Message) { m.Password[0]++ }, nil,
		"AH digest differs: another password, or changed on its way",
		"(VI) IPSEC-AH : invalid IPSEC HMAC-MD5 value. Due to fields mutation or bad password !"},
	{CauseAHSPI, func() *Instance { return withAuth(AuthAH, "secret") }, nil, func(p *Packet) {
		p.Payload[7]++
		redigest(p)
	}, "AH SPI 10.9.0.3 is not the source address 10.9.0.2", spiPhrase(peer, other)},
	{CauseAHReplay, func() *Instance { return withAuth(AuthAH, "secret") }, func(_ *Instance, m *Message) { m.Sequence = 0 }, nil,
		"AH sequence number 0, already had 0", "(VI) IPSEC-AH : sequence number 0 already processed. Packet dropped. Local(0)"},
	{CauseInterval, v2, func(_ *Instance, m *Message) { m.Interval = 2 * time.Second }, nil,
		"advert interval 2s, ours 1s", "(VI) advertisement interval mismatch mine=1 sec rcv'd=2 sec"},
	{CauseInterval, v3, func(_ *Instance, m *Message) { m.Interval = 0 }, nil, "advert interval 0s, ours 1s", ""},
	{CauseType, v2, nil, func(p *Packet) { p.Payload[0] = 0x22 },
		"message type 2, an advert is 1", "(VI) Invalid packet type. 2 and expect 1"},
	{CauseCount, v2, func(i *Instance, m *Message) { m.Addresses = i.Addresses[:1] }, nil,
		"1 addresses, ours 2", "(VI) received an unexpected ip number count 1, expected 2!"},
	{CauseChecksum, v2, nil, func(p *Packet) { p.Payload[2]++ },
		"checksum 0x33ee should be 0x32ee", "(VI) Invalid VRRPv2 checksum"},
	{CauseChecksum, v3, func(_ *Instance, m *Message) { m.Checksum = ChecksumAsV2 }, nil,
		"checksum 0x238b (without pseudo header) should be 0x38ed", "(VI) Invalid VRRPv3 checksum"},
	{CauseDestination, v3, nil, func(p *Packet) { p.Destination = ours; resum(p) },
		"sent by unicast, ours multicast", "(VI) Expected multicast packet but received unicast packet"},
	{CauseDestination, func() *Instance { return unicast(v3()) }, nil, func(p *Packet) { p.Destination = mcast4; resum(p) },
		"sent by multicast, ours unicast", "(VI) Expected unicast packet but received multicast packet"},
	{CauseAddresses, v3, func(_ *Instance, m *Message) { m.Addresses = addrList("10.9.0.101 10.9.0.109") }, nil,
		"addresses differ: only theirs 10.9.0.109, only ours 10.9.0.100",
		"(VI) ip address associated with VRID 51 not present in MASTER advert: 10.9.0.100"},
	{CauseAddresses, v6, func(_ *Instance, m *Message) { m.Addresses = addrList("fe80::51 2001:db8::52") }, nil,
		"addresses differ: only theirs 2001:db8::52, only ours 2001:db8::51",
		"(VI) ip address associated with VRID 51 not present in MASTER advert: 2001:db8::51"},
	{CausePeer, func() *Instance {
		i := unicast(v2())
		i.CheckPeers, i.Peers[0].Addr = true, other
		return i
	}, nil, nil, "source 10.9.0.2 is not a unicast peer; have 10.9.0.3", "(VI) unicast source address 10.9.0.2 not a unicast peer"},
	{CausePeerTTL, func() *Instance {
		i := unicast(v2())
		i.CheckPeers, i.Peers[0].MinTTL, i.Peers[0].MaxTTL = true, 200, 250
		return i
	}, nil, nil, "TTL 255, this peer may have 200 to 250", "(VI) TTL/HL 255 not in range 200 - 250"},
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

func TestAcceptRefuses(t *testing.T) {
	seen := make([]bool, causes)
	last := CauseOwn
	seen[CauseOwn] = true
	for _, f := range flaws {
		i := f.instance()
		m := sending(i)
		m.Sequence = 1
		if f.spoil != nil {
			f.spoil(i, m)
		}
		p := packet(i, m)
		if f.damage != nil {
			f.damage(p)
		}
		var r receiver
		a, rej := r.accept(i, p)
		switch {
		case rej == nil:
			t.Errorf("%v: taken as %+v", f.cause, a)
		case rej.Cause != f.cause || rej.String() != f.want || rej.Keepalived("VI") != f.keepalive:
			t.Errorf("%v:\n%v, %q, %q; want\n%v, %q, %q", f.cause,
				rej.Cause, rej, rej.Keepalived("VI"), f.cause, f.want, f.keepalive)
		case !reflect.DeepEqual(a, Advert{}) || r.compared.IsValid():
			t.Errorf("%v: a dropped packet leaves something behind: %+v, %+v", f.cause, a, r)
		}
		if f.cause < last {
			t.Errorf("%v is out of order", f.cause)
		}
		last, seen[f.cause] = f.cause, true
	}
	for c, seen := range seen {
		if !seen {
			t.Errorf("%v is never given", Cause(c))
		}
	}
}

// Of two flaws in a packet the first in keepalived's order is told.
func TestAcceptFirstFlaw(t *testing.T) {
	base := func() *Instance { // lets as many flaws as possible meet
		i := unicast(withAuth(AuthPass, "secret"))
		i.CheckPeers = true
		return i
	}
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
		{CauseCount, func(m *Message) { m.Addresses = append(m.Addresses, other) }, nil},
		{CauseChecksum, nil, func(p *Packet) { p.Payload[6]++ }},
		{CauseDestination, nil, func(p *Packet) { p.Destination = mcast4 }},
		{CauseAddresses, func(m *Message) { m.Addresses = append([]netip.Addr{other}, m.Addresses[1:]...) }, nil},
		{CausePeer, nil, func(p *Packet) { p.Source = other }},
	}
	for n, first := range steps {
		for _, second := range steps[n+1:] {
			i := base()
			m := sending(i)
			for _, f := range []func(*Message){second.spoil, first.spoil} {
				if f != nil {
					f(m)
				}
			}
			p := packet(i, m)
			for _, f := range []func(*Packet){second.damage, first.damage} {
				if f != nil {
					f(p)
				}
			}
			want := first.cause
			// A version without tail makes the packet too long, and that is told first.
			if second.cause == CauseVersion || first.cause == CauseVersion {
				if want != CauseVRID {
					want = CauseLong
				}
			}
			var r receiver
			if _, rej := r.accept(i, p); rej == nil || rej.Cause != want {
				t.Errorf("%v and %v: told %v, want %v", first.cause, second.cause, rej, want)
			}
		}
	}
}

func TestAcceptTTL(t *testing.T) {
	bounded := unicast(v2())
	bounded.CheckPeers, bounded.Peers[0].MinTTL, bounded.Peers[0].MaxTTL = true, 64, 65
	for _, tc := range []struct {
		name string
		i    *Instance
		ttl  int
		ok   bool
	}{
		{"multicast, unknown", v2(), -1, true},
		{"multicast, 255", v2(), 255, true},
		{"multicast, 254", v2(), 254, false},
		{"multicast of IPv6, 64", v6(), 64, false},
		{"unicast, any", unicast(v2()), 3, true},
		{"bounds, below", bounded, 63, false},
		{"bounds, lowest", bounded, 64, true},
		{"bounds, highest", bounded, 65, true},
		{"bounds, above", bounded, 66, false},
		{"bounds, unknown", bounded, -1, true},
	} {
		p := packet(tc.i, sending(tc.i))
		p.TTL = tc.ttl
		var r receiver
		if _, rej := r.accept(tc.i, p); (rej == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, rej)
		}
	}
}

// With skip_check_adv_addr a source's addresses are compared until they agree once.
func TestAcceptSkipsAddresses(t *testing.T) {
	i := v3()
	i.SkipAddressCheck = true
	good, bad := sending(i), sending(i)
	bad.Addresses = addrList("10.9.0.1")
	from := func(m *Message, src netip.Addr) *Packet {
		return received(m.AppendIPv4(nil, src, mcast4, 255, 1))
	}
	var r receiver
	for n, tc := range []struct {
		p    *Packet
		want string
	}{
		{from(bad, peer), "1 addresses, ours 2"},
		{from(good, peer), ""},
		{from(bad, peer), ""},
		{from(bad, other), "1 addresses, ours 2"},
		{from(bad, peer), ""},
		{from(good, other), ""},
		{from(bad, peer), "1 addresses, ours 2"},
	} {
		_, rej := r.accept(i, tc.p)
		if got := told(rej); got != tc.want {
			t.Errorf("packet %d: %q, want %q", n, got, tc.want)
		}
	}
}

func told(r *Rejection) string {
	if r == nil {
		return ""
	}
	return r.String()
}

func TestAcceptSequence(t *testing.T) {
	i := withAuth(AuthAH, "secret")
	var r receiver
	for n, tc := range []struct {
		src      netip.Addr
		sequence uint32
		interval time.Duration
		want     string
		highest  uint32
	}{
		{peer, 5, time.Second, "", 5},
		{peer, 5, time.Second, "AH sequence number 5, already had 5", 5},
		{peer, 4, time.Second, "AH sequence number 4, already had 5", 5},
		{other, 3, time.Second, "", 5}, // each source has its own count
		{peer, 0xffffffff, time.Second, "", 0xffffffff},
		{other, 9, 2 * time.Second, "advert interval 2s, ours 1s", 0xffffffff},
		{other, 9, time.Second, "AH sequence number 9, already had 9", 0xffffffff},
	} {
		m := sending(i)
		m.Sequence, m.Interval = tc.sequence, tc.interval
		_, rej := r.accept(i, received(m.AppendIPv4(nil, tc.src, mcast4, 255, uint16(n+1))))
		if got := told(rej); got != tc.want || r.highest() != tc.highest {
			t.Errorf("packet %d: %q, highest %d; want %q, %d", n, got, r.highest(), tc.want, tc.highest)
		}
	}
	// A forgery counts for nothing.
	forged := sending(withAuth(AuthAH, "guess"))
	forged.Sequence = 0xffffffff
	if _, rej := r.accept(i, received(forged.AppendIPv4(nil, other, mcast4, 255, 1))); rej == nil || rej.Cause != CauseAHDigest {
		t.Errorf("forged: %v", rej)
	}
	good := sending(i)
	good.Sequence = 10
	if _, rej := r.accept(i, received(good.AppendIPv4(nil, other, mcast4, 255, 1))); rej != nil {
		t.Errorf("after the forgery: %v", rej)
	}
}

// What routers change does not spoil the digest, the rest does. A header may have options.
func TestAcceptAHMutation(t *testing.T) {
	mc, uc := withAuth(AuthAH, "secret"), unicast(withAuth(AuthAH, "secret"))
	for _, tc := range []struct {
		name   string
		i      *Instance
		change func(ip wire.IPv4)
		ok     bool
	}{
		{"TOS", mc, func(ip wire.IPv4) { ip.SetTOS(0) }, true},
		{"don't fragment", mc, func(ip wire.IPv4) { ip.SetFragment(wire.IPv4DontFragment, 0) }, true},
		{"header checksum", mc, func(ip wire.IPv4) { ip.SetChecksum(1) }, true},
		{"unicast, TTL", uc, func(ip wire.IPv4) { ip[8] = 9 }, true},
		{"multicast, TTL", mc, func(ip wire.IPv4) { ip[8] = 9 }, false},
		{"id", mc, func(ip wire.IPv4) { ip.SetID(ip.ID() + 1) }, false},
		{"destination", uc, func(ip wire.IPv4) { ip[19]++ }, false},
	} {
		m := sending(tc.i)
		m.Sequence = 1
		p := packet(tc.i, m)
		tc.change(p.Header)
		var r receiver
		if _, rej := r.accept(tc.i, p); (rej == nil) != tc.ok || rej != nil && rej.Cause != CauseAHDigest {
			t.Errorf("%s: %v", tc.name, rej)
		}
	}
	m := sending(mc)
	m.Sequence = 1
	p := packet(mc, m)
	p.Header = append(p.Header[:20:20], 148, 4, 0, 0) // router alert
	p.Header[0]++
	redigest(p)
	var r receiver
	if _, rej := r.accept(mc, p); rej != nil {
		t.Errorf("options: %v", rej)
	}
	p.Header = nil
	if _, rej := r.accept(mc, p); rej == nil || rej.Cause != CauseAHDigest {
		t.Errorf("no header: %v", rej)
	}
}

func TestAcceptChecksum(t *testing.T) {
	const (
		yes = "taken"
		no  = "dropped"
	)
	for _, tc := range []struct {
		name                    string
		ours                    Checksum
		unicast                 bool
		packet, old, asV2, then string // for the form of the packet, the old one, without pseudo header, the packet's again
		sends                   Checksum
	}{
		{"automatic", ChecksumAuto, true, yes, yes, no, yes, ChecksumOld},
		{"automatic, multicast", ChecksumAuto, false, yes, yes, no, yes, ChecksumAuto}, // the same form
		{"old", ChecksumOld, true, no, yes, no, no, ChecksumOld},
		{"never old", ChecksumNever, true, yes, no, no, yes, ChecksumNever},
		{"as version 2", ChecksumAsV2, true, yes, no, yes, yes, ChecksumAsV2},
		{"as version 2, multicast", ChecksumAsV2, false, yes, yes, yes, yes, ChecksumAsV2},
	} {
		i := v3()
		if tc.unicast {
			unicast(i)
		}
		i.Checksum = tc.ours
		var r receiver
		if got := r.checksum(i); got != tc.ours {
			t.Errorf("%s: begins with form %d", tc.name, got)
		}
		for n, step := range []struct {
			form Checksum
			want string
		}{{ChecksumNever, tc.packet}, {ChecksumAsV2, tc.asV2}, {ChecksumOld, tc.old}, {ChecksumNever, tc.then}} {
			m := sending(i)
			m.Checksum = step.form
			got := yes
			_, rej := r.accept(i, packet(i, m))
			if rej != nil {
				got = no
			}
			if got != step.want || rej != nil && rej.Cause != CauseChecksum {
				t.Errorf("%s, packet %d: %s (%v), want %s", tc.name, n, got, rej, step.want)
			}
		}
		if got := r.checksum(i); got != tc.sends {
			t.Errorf("%s: sends form %d, want %d", tc.name, got, tc.sends)
		}
	}
}

// No word of a rejection holds a password.
func TestRejectionKeepsPasswords(t *testing.T) {
	for _, auth := range []Auth{AuthPass, AuthAH} {
		i := withAuth(auth, "0urPassw")
		m := sending(i)
		copy(m.Password[:], "the1rPwd")
		var r receiver
		_, rej := r.accept(i, packet(i, m))
		if rej == nil {
			t.Fatal("taken")
		}
		words := strings.Join([]string{rej.Theirs, rej.Ours, rej.String(), rej.Keepalived("VI"), rej.Cause.String()}, " ")
		if strings.Contains(words, "0urPassw") || strings.Contains(words, "the1rPwd") {
			t.Errorf("%v: %s", auth, words)
		}
	}
}

func TestCauseLabels(t *testing.T) {
	labels := make(map[string]Cause)
	for c := range causes {
		label := c.String()
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("cause %d: label %q", c, label)
		}
		if before, twice := labels[label]; twice {
			t.Errorf("causes %d and %d: label %q", before, c, label)
		}
		labels[label] = c
		if causeWords[c].phrase == "" {
			t.Errorf("%v: no phrase", c)
		}
	}
	if got := (&Rejection{Cause: CauseOwn, Theirs: "10.9.0.1"}).String(); got != "own packet from 10.9.0.1 came back" {
		t.Errorf("own packet: %q", got)
	}
}

// Whatever arrives, accept does not panic; what it takes is what was sent.
func FuzzAccept(f *testing.F) {
	instances := []func() *Instance{v2, v3, v6, func() *Instance { return withAuth(AuthPass, "secret") },
		func() *Instance { return withAuth(AuthAH, "secret") }, func() *Instance { return unicast(v3()) }}
	for n, instance := range instances {
		i := instance()
		m := sending(i)
		m.Sequence = 1
		p := packet(i, m)
		f.Add(uint8(n), p.Header, p.AH, p.Payload, p.TTL, !i.Unicast())
	}
	f.Fuzz(func(t *testing.T, n uint8, header []byte, ah bool, payload []byte, ttl int, toGroup bool) {
		i := instances[int(n)%len(instances)]()
		p := &Packet{Source: peer, Destination: ours, TTL: ttl, Header: header, AH: ah, Payload: payload}
		if toGroup {
			p.Destination = mcast4
		}
		if i.IPv6 {
			p.Source, p.Destination = netip.MustParseAddr("fe80::2%eth0"), netip.MustParseAddr("ff02::12")
		}
		before := string(header) + string(payload)
		var r receiver
		a, rej := r.accept(i, p)
		if string(header)+string(payload) != before {
			t.Fatal("the packet was changed")
		}
		if rej != nil {
			if rej.String() == "" || rej.Cause >= causes {
				t.Fatalf("rejection %#v", rej)
			}
			return
		}
		if ah {
			payload = payload[ahLen:]
		}
		parsed, rej := Parse(payload, i.IPv6)
		if rej != nil || !reflect.DeepEqual(parsed, a) {
			t.Fatalf("accepted as %+v, parsed as %+v (%v)", a, parsed, rej)
		}
		if a.VRID != i.VRID || a.Version != i.Version || a.Interval == 0 || len(a.Addresses) != len(i.Addresses) {
			t.Fatalf("accepted %+v for %+v", a, i)
		}
	})
}
