package vrrp

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"uvs/internal/wire"
)

var (
	mcast4    = netip.MustParseAddr("224.0.0.18")
	mcast6    = netip.MustParseAddr("ff02::12")
	ourAddr   = netip.MustParseAddr("10.9.0.1")
	theirAddr = netip.MustParseAddr("10.9.0.2")
	thirdAddr = netip.MustParseAddr("10.9.0.3")
)

func addrList(s string) []netip.Addr {
	var list []netip.Addr
	for w := range strings.FieldsSeq(s) {
		list = append(list, netip.MustParseAddr(w))
	}
	return list
}

func version2() *Instance {
	return &Instance{Name: "VI", Version: 2, VRID: 51, Priority: 100, AdvertInterval: time.Second,
		Addresses: addrList("10.9.0.100 10.9.0.101")}
}

func version3() *Instance {
	i := version2()
	i.Version = 3
	return i
}

func overIPv6() *Instance {
	i := version3()
	i.IPv6, i.Addresses = true, addrList("fe80::51 2001:db8::51")
	return i
}

func withPeer(i *Instance) *Instance {
	i.Peers = []Peer{{Addr: theirAddr, MaxTTL: 255}}
	if i.IPv6 {
		i.Peers[0].Addr = netip.MustParseAddr("fe80::2")
	}
	return i
}

func withAuth(a Auth, password string) *Instance {
	i := version2()
	i.Auth = a
	copy(i.Password[:], password)
	return i
}

// sending returns what peers of an instance send.
func sending(i *Instance) *Message {
	return &Message{Advert: Advert{Version: i.Version, VRID: i.VRID, Priority: 150, Auth: i.Auth,
		Interval: i.AdvertInterval, Password: i.Password, Addresses: i.Addresses}}
}

// deliver gives a message as it is received: from peer, to our address if the instance has
// peers, otherwise to the group.
func deliver(i *Instance, m *Message) *Packet {
	p := &Packet{Source: theirAddr, Destination: mcast4, TTL: 255}
	if i.Unicast() {
		p.Destination = ourAddr
	}
	if i.IPv6 {
		p.Source, p.Destination = netip.MustParseAddr("fe80::2%eth0"), mcast6
		if i.Unicast() {
			p.Destination = netip.MustParseAddr("fe80::1%eth0")
		}
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
		"version 2": version2(), "password": withAuth(AuthPass, "secret"), "AH": withAuth(AuthAH, "secret"),
		"version 3": version3(), "IPv6": overIPv6(), "unicast": withPeer(version2()), "version 3, unicast": withPeer(version3()),
		"IPv6, unicast": withPeer(overIPv6()), "AH, unicast": withPeer(withAuth(AuthAH, "secret")),
	} {
		m := sending(i)
		m.Sequence = 1
		var r receiver
		a, rej := r.accept(i, deliver(i, m))
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
		p := deliver(i, m)
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

// Of two flaws the first in keepalived's order is told.
func TestAcceptFirstFlaw(t *testing.T) {
	i, packets := doubleFlawed()
	for _, d := range packets {
		var r receiver
		if _, rej := r.accept(i, d.packet); rej == nil || rej.Cause != d.want {
			t.Errorf("%s: told %v, want %v", d.name, rej, d.want)
		}
	}
}

func TestAcceptTTL(t *testing.T) {
	bounded := withPeer(version2())
	bounded.CheckPeers, bounded.Peers[0].MinTTL, bounded.Peers[0].MaxTTL = true, 64, 65
	for _, tc := range []struct {
		name string
		i    *Instance
		ttl  int
		ok   bool
	}{
		{"multicast, unknown", version2(), -1, true},
		{"multicast, 255", version2(), 255, true},
		{"multicast, 254", version2(), 254, false},
		{"multicast of IPv6, 64", overIPv6(), 64, false},
		{"unicast, any", withPeer(version2()), 3, true},
		{"bounds, below", bounded, 63, false},
		{"bounds, lowest", bounded, 64, true},
		{"bounds, highest", bounded, 65, true},
		{"bounds, above", bounded, 66, false},
		{"bounds, unknown", bounded, -1, true},
	} {
		p := deliver(tc.i, sending(tc.i))
		p.TTL = tc.ttl
		var r receiver
		if _, rej := r.accept(tc.i, p); (rej == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, rej)
		}
	}
}

// With skip_check_adv_addr a source's addresses are compared until they agree once.
func TestAcceptSkipsAddresses(t *testing.T) {
	i := version3()
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
		{from(bad, theirAddr), "1 addresses, ours 2"},
		{from(good, theirAddr), ""},
		{from(bad, theirAddr), ""},
		{from(bad, thirdAddr), "1 addresses, ours 2"},
		{from(bad, theirAddr), ""},
		{from(good, thirdAddr), ""},
		{from(bad, theirAddr), "1 addresses, ours 2"},
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
		{theirAddr, 5, time.Second, "", 5},
		{theirAddr, 5, time.Second, "AH sequence number 5, already had 5", 5},
		{theirAddr, 4, time.Second, "AH sequence number 4, already had 5", 5},
		{thirdAddr, 3, time.Second, "", 5}, // each source has its own count
		{theirAddr, 0xffffffff, time.Second, "", 0xffffffff},
		{thirdAddr, 9, 2 * time.Second, "advert interval 2s, ours 1s", 0xffffffff},
		{thirdAddr, 9, time.Second, "AH sequence number 9, already had 9", 0xffffffff},
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
	if _, rej := r.accept(i, received(forged.AppendIPv4(nil, thirdAddr, mcast4, 255, 1))); rej == nil || rej.Cause != CauseAHDigest {
		t.Errorf("forged: %v", rej)
	}
	good := sending(i)
	good.Sequence = 10
	if _, rej := r.accept(i, received(good.AppendIPv4(nil, thirdAddr, mcast4, 255, 1))); rej != nil {
		t.Errorf("after the forgery: %v", rej)
	}
}

// What routers change does not spoil the digest, the rest does. A header may have options.
func TestAcceptAHMutation(t *testing.T) {
	mc, uc := withAuth(AuthAH, "secret"), withPeer(withAuth(AuthAH, "secret"))
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
		p := deliver(tc.i, m)
		tc.change(p.Header)
		var r receiver
		if _, rej := r.accept(tc.i, p); (rej == nil) != tc.ok || rej != nil && rej.Cause != CauseAHDigest {
			t.Errorf("%s: %v", tc.name, rej)
		}
	}
	m := sending(mc)
	m.Sequence = 1
	p := deliver(mc, m)
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
		i := version3()
		if tc.unicast {
			withPeer(i)
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
			_, rej := r.accept(i, deliver(i, m))
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

// Whatever arrives, accept does not panic; what it takes is what was sent.
func FuzzAccept(f *testing.F) {
	instances := []func() *Instance{version2, version3, overIPv6, func() *Instance { return withAuth(AuthPass, "secret") },
		func() *Instance { return withAuth(AuthAH, "secret") }, func() *Instance { return withPeer(version3()) }}
	for n, instance := range instances {
		i := instance()
		m := sending(i)
		m.Sequence = 1
		p := deliver(i, m)
		f.Add(uint8(n), p.Header, p.AH, p.Payload, p.TTL, !i.Unicast())
	}
	f.Fuzz(func(t *testing.T, n uint8, header []byte, ah bool, payload []byte, ttl int, toGroup bool) {
		i := instances[int(n)%len(instances)]()
		p := &Packet{Source: theirAddr, Destination: ourAddr, TTL: ttl, Header: header, AH: ah, Payload: payload}
		if toGroup {
			p.Destination = mcast4
		}
		if i.IPv6 {
			p.Source, p.Destination = netip.MustParseAddr("fe80::2%eth0"), mcast6
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

// A reload may forbid the form that was followed.
func TestChecksumAfterReload(t *testing.T) {
	i := withPeer(version3())
	m := sending(i)
	m.Checksum = ChecksumOld
	var r receiver
	if _, rej := r.accept(i, deliver(i, m)); rej != nil || r.checksum(i) != ChecksumOld {
		t.Fatalf("%v; sends form %d", rej, r.checksum(i))
	}
	i.Checksum = ChecksumNever
	if got := r.checksum(i); got != ChecksumNever {
		t.Errorf("sends form %d", got)
	}
}

func TestAcceptMixedFamilies(t *testing.T) {
	for _, i := range []*Instance{version3(), overIPv6()} {
		p := deliver(i, sending(i))
		if p.Destination = mcast6; i.IPv6 {
			p.Destination = mcast4
		}
		var r receiver
		if _, rej := r.accept(i, p); rej == nil || rej.Cause != CauseFamily {
			t.Errorf("IPv6 %v: %v", i.IPv6, rej)
		}
	}
}

// A peer is known by its address, with or without the interface that a link-local one has.
func TestAcceptPeerOverIPv6(t *testing.T) {
	for _, addr := range []string{"fe80::2", "fe80::2%eth0"} {
		i := withPeer(overIPv6())
		i.CheckPeers, i.Peers[0].Addr = true, netip.MustParseAddr(addr)
		var r receiver
		if _, rej := r.accept(i, deliver(i, sending(i))); rej != nil {
			t.Errorf("%s: %v", addr, rej)
		}
	}
}
