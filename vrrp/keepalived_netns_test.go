//go:build netns

package vrrp

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"
	"github.com/mdlayher/packet"

	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

var recapture = flag.Bool("recapture", false, "write what keepalived sends to "+keepalivedPackets)

// A keepalivedPair is Debian's keepalived at 10.9.0.1 and fe80::1, and the peer at 10.9.0.2 and fe80::2
// whose part the test takes.
type keepalivedPair struct {
	keepalived, peer *netlab.Host
	process          *netlab.Process
}

// runKeepalived starts a keepalived of these instances.
func runKeepalived(t *testing.T, instances []*Instance) *keepalivedPair {
	t.Helper()
	site := labtest.New(t)
	p := &keepalivedPair{keepalived: labtest.Host(t, site, "keepalived"), peer: labtest.Host(t, site, "peer")}
	if err := site.Connect(p.keepalived, "eth0", p.peer, "eth0"); err != nil {
		t.Fatal(err)
	}
	for n, h := range []*netlab.Host{p.keepalived, p.peer} {
		for _, a := range []string{"10.9.0.%d/24", "fe80::%d/64"} {
			if err := h.AddAddr("eth0", netip.MustParsePrefix(fmt.Sprintf(a, n+1))); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(file, []byte(conf(instances)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.process = labtest.Start(t, p.keepalived, "keepalived", "-n", "-l", "-D", "-P", "-f", file)
	for _, i := range instances {
		if err := p.process.WaitOutput(labtest.Hang, "("+i.Name+") Entering BACKUP STATE (init)"); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// conf writes instances as keepalived reads them.
func conf(instances []*Instance) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, i := range instances {
		line("vrrp_instance %s {\n state BACKUP\n interface eth0\n virtual_router_id %d\n priority %d\n version %d",
			i.Name, i.VRID, i.Priority, i.Version)
		line(" advert_int %g\n down_timer_adverts %d", i.AdvertInterval.Seconds(), i.DownTimerAdverts)
		if i.IPv6 && i.Unicast() {
			line(" unicast_src_ip fe80::1")
		} else if i.IPv6 {
			line(" mcast_src_ip fe80::1")
		}
		if i.Auth != AuthNone {
			line(" authentication {\n  auth_type %v\n  auth_pass %s\n }", i.Auth, strings.TrimRight(string(i.Password[:]), "\x00"))
		}
		switch i.Checksum {
		case ChecksumOld:
			line(" old_unicast_checksum")
		case ChecksumNever:
			line(" old_unicast_checksum never")
		}
		if i.CheckPeers {
			line(" check_unicast_src")
		}
		if i.Unicast() {
			line(" unicast_peer {")
			for _, p := range i.Peers {
				line("  %v min_ttl %d max_ttl %d", p.Addr, p.MinTTL, p.MaxTTL)
			}
			line(" }")
		}
		line(" virtual_ipaddress {")
		for _, a := range i.Addresses {
			line("  %v", a)
		}
		line(" }\n}")
	}
	return b.String()
}

// A sender puts packets on the wire as they are.
type sender struct {
	conn *packet.Conn
	mac  [2]wire.MAC // keepalived's and ours
}

func (p *keepalivedPair) sender(t *testing.T) *sender {
	t.Helper()
	s := &sender{}
	for n, h := range []*netlab.Host{p.keepalived, p.peer} {
		mac, err := h.MAC("eth0")
		if err != nil {
			t.Fatal(err)
		}
		s.mac[n] = wire.MAC(mac)
	}
	err := p.peer.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		s.conn, err = packet.Listen(ifi, packet.Raw, 0, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	return s
}

// send sends a packet, with an IP header that says what the packet's fields say.
func (s *sender) send(t *testing.T, p *Packet) {
	t.Helper()
	frame := make([]byte, 14)
	to := s.mac[0]
	if p.Source.Is4() {
		d := p.Destination.As4()
		if p.Destination.IsMulticast() {
			to = wire.MAC{0x01, 0, 0x5e, d[1] & 0x7f, d[2], d[3]}
		}
		frame[12] = 0x08
		ip, src := wire.IPv4(slices.Clone(p.Header)), p.Source.As4()
		ip.SetTotalLen(len(ip) + len(p.Payload))
		ip[8] = uint8(p.TTL)
		copy(ip.Source(), src[:])
		copy(ip.Destination(), d[:])
		ip.SetChecksum(0)
		ip.SetChecksum(wire.Checksum(ip))
		frame = append(frame, ip...)
	} else {
		d := p.Destination.As16()
		if p.Destination.IsMulticast() {
			to = wire.MAC{0x33, 0x33, d[12], d[13], d[14], d[15]}
		}
		frame[12], frame[13] = 0x86, 0xdd
		ip, src := make(wire.IPv6, wire.IPv6Len), p.Source.As16()
		ip.Init(uint8(p.TTL), protocolVRRP, len(p.Payload))
		copy(ip.Source(), src[:])
		copy(ip.Destination(), d[:])
		frame = append(frame, ip...)
	}
	wire.Ethernet(frame).SetAddresses(to, s.mac[1])
	addr := &packet.Addr{HardwareAddr: net.HardwareAddr(to[:])}
	if _, err := s.conn.WriteTo(append(frame, p.Payload...), addr); err != nil {
		t.Fatal(err)
	}
}

// complaints returns what keepalived wrote about packets, sorted: it reads several sockets.
func (p *keepalivedPair) complaints() []string {
	about := regexp.MustCompile(`(?m)^.{24}: ((?:\(|IPSEC AH |IPv. VRRP packet ).*)$`)
	thirdAddr := regexp.MustCompile(`STATE| VIPs\.$|Receive advertisement timeout|Sending/queueing|advertisement interval updated|changing advert interval`)
	var lines []string
	for _, m := range about.FindAllStringSubmatch(p.process.Output(), -1) {
		if !thirdAddr.MatchString(m[1]) {
			lines = append(lines, m[1])
		}
	}
	slices.Sort(lines)
	return lines
}

// complains waits until keepalived has written these complaints and no others.
func (p *keepalivedPair) complains(t *testing.T, want []string) {
	t.Helper()
	slices.Sort(want)
	labtest.Eventually(t, labtest.Hang, func() error {
		if got := p.complaints(); !slices.Equal(got, want) {
			return fmt.Errorf("keepalived complains\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return nil
	})
}

// patient makes an instance stay backup through a test.
func patient(i *Instance, name string, vrid int) *Instance {
	i.Name, i.VRID, i.DownTimerAdverts = name, uint8(vrid), 100
	return i
}

// What we say that keepalived says of each flaw it says.
func TestKeepalivedRefuses(t *testing.T) {
	var instances []*Instance
	var packets []*Packet
	var want []string
	for n, f := range flaws {
		i := patient(f.instance(), fmt.Sprintf("flaw%d", n), n+100)
		m := sending(i)
		m.Sequence = 1
		if f.spoil != nil {
			f.spoil(i, m)
		}
		p := deliver(i, m)
		if f.damage != nil {
			f.damage(p)
		}
		if f.cause == CauseFamily {
			continue // of another virtual router, for keepalived
		}
		if i.IPv6 {
			passKernel(p)
		}
		instances, packets = append(instances, i), append(packets, p)
		var r receiver
		_, rej := r.accept(i, p)
		if rej == nil || rej.Cause != f.cause {
			t.Fatalf("%v: %v", f.cause, rej)
		}
		if words := rej.Keepalived(i.Name); words != "" && !f.unheard {
			want = append(want, words)
		}
	}
	pair := runKeepalived(t, instances)
	s := pair.sender(t)
	for _, p := range packets {
		s.send(t, p)
	}
	pair.complains(t, want)
	// Why an interval of 0 is no advert for us: the backup is master at once.
	at := slices.IndexFunc(flaws, func(f flaw) bool { return f.cause == CauseInterval && f.keepalive == "" })
	if err := pair.process.WaitOutput(labtest.Hang, fmt.Sprintf("(flaw%d) Entering MASTER STATE", at)); err != nil {
		t.Error(err)
	}
}

// passKernel makes the checksum right, which the kernel checks for keepalived over IPv6, in a
// place that nobody comes to read.
func passKernel(p *Packet) {
	at := 6
	if len(p.Payload) < headerLen {
		at = 0
	}
	clear(p.Payload[at : at+2])
	src, dst := p.Source.As16(), p.Destination.As16()
	sum := wire.Sum(p.Payload, wire.PseudoHeaderSum(src[:], dst[:], protocolVRRP, len(p.Payload)))
	p.Payload[at], p.Payload[at+1] = byte(^sum>>8), byte(^sum)
}

// Of two flaws keepalived tells the one that we tell.
func TestKeepalivedFirstFlaw(t *testing.T) {
	i, packets := doubleFlawed()
	pair := runKeepalived(t, []*Instance{patient(i, "VI", int(i.VRID))})
	s := pair.sender(t)
	var want []string
	for _, d := range packets {
		if d.packet.Destination.IsMulticast() {
			continue // its socket for unicast does not receive it
		}
		var r receiver
		_, rej := r.accept(i, d.packet)
		if words := rej.Keepalived("VI"); words != "" {
			want = append(want, words)
		}
		s.send(t, d.packet)
	}
	pair.complains(t, want)
}

// What keepalived sends is what we send, bit by bit; and what we send it takes.
func TestKeepalivedSends(t *testing.T) {
	instances := keepalivedInstances()
	pair := runKeepalived(t, instances)
	c, err := capture.Start(pair.peer, "eth0", "ip proto 112 or ip proto 51 or ip6 proto 112")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range instances {
		if err := pair.process.WaitOutput(labtest.Hang, "("+i.Name+") Entering MASTER STATE"); err != nil {
			t.Fatal(err)
		}
	}
	if err := pair.process.Stop(); err != nil {
		t.Fatal(err)
	}
	frames, err := c.Stop()
	if err != nil {
		t.Fatal(err)
	}
	receivers := make(map[uint8]*receiver)
	lines := make(map[uint8][]string)
	for _, f := range frames {
		var p *Packet
		switch ip := f.NetworkLayer().(type) {
		case *layers.IPv4:
			p = received(slices.Concat(ip.Contents, ip.Payload))
		case *layers.IPv6:
			src, _ := netip.AddrFromSlice(ip.SrcIP)
			dst, _ := netip.AddrFromSlice(ip.DstIP)
			p = &Packet{Source: src, Destination: dst, TTL: int(ip.HopLimit), Payload: ip.Payload}
			if ip.TrafficClass != tosControl {
				t.Errorf("traffic class %#x", ip.TrafficClass)
			}
		}
		line := writePacket(p)
		i := findInstance(instances, p)
		if i == nil {
			t.Fatalf("%s: of no instance", line)
		}
		if receivers[i.VRID] == nil {
			receivers[i.VRID] = &receiver{}
		}
		checkKeepalivedPacket(t, receivers[i.VRID], i, p)
		lines[i.VRID] = append(lines[i.VRID], i.Name+" "+line)
	}
	golden := "# Adverts of Debian's keepalived 2.2.7: of each instance of keepalivedInstances the first, and\n" +
		"# the last with priority 0. IPv4: the whole packet. IPv6: source, destination, payload.\n" +
		"# go test -tags netns -run TestKeepalivedSends ./vrrp -recapture\n"
	for _, i := range instances {
		l := lines[i.VRID]
		if len(l) < 2 {
			t.Fatalf("%s: %d adverts", i.Name, len(l))
		}
		golden += l[0] + "\n" + l[len(l)-1] + "\n"
	}
	if *recapture {
		if err := os.WriteFile(keepalivedPackets, []byte(golden), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A keepalived that is master yields to our adverts with a higher priority, of every kind. Each instance has addresses of
// its own: one that becomes backup takes its addresses off the interface, and another that has one of them as well may
// see that before our advert, and be backup when that comes.
func TestKeepalivedTakes(t *testing.T) {
	instances := keepalivedInstances()
	for n, i := range instances {
		i.Addresses = addrList(fmt.Sprintf("10.9.0.%d 10.9.0.%d", 100+2*n, 101+2*n))
		if i.IPv6 {
			i.Addresses = addrList(fmt.Sprintf("fe80::%d 2001:db8::%d", 100+n, 100+n))
		}
	}
	pair := runKeepalived(t, instances)
	s := pair.sender(t)
	for _, i := range instances {
		if err := pair.process.WaitOutput(labtest.Hang, "("+i.Name+") Entering MASTER STATE"); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range instances {
		m := sending(i)
		m.Priority, m.Checksum, m.Sequence = 254, i.Checksum, 1000
		p := deliver(i, m)
		s.send(t, p)
		words := fmt.Sprintf("(%s) Master received advert from %v with higher priority 254, ours 100", i.Name, p.Source.WithZone(""))
		if err := pair.process.WaitOutput(labtest.Hang, words); err != nil {
			t.Error(err)
		}
	}
}

// keepalived follows the old form of the checksum as we do, and unlike us never goes back.
func TestKeepalivedFollowsOldChecksum(t *testing.T) {
	i := patient(withPeer(version3()), "VI", 7)
	pair := runKeepalived(t, []*Instance{i})
	s := pair.sender(t)
	m := sending(i)
	s.send(t, deliver(i, m))
	m.Checksum = ChecksumOld
	s.send(t, deliver(i, m))
	pair.complains(t, []string{"(VI) Setting unicast VRRPv3 checksum to old version"})
	m.Checksum = ChecksumNever
	s.send(t, deliver(i, m))
	pair.complains(t, []string{"(VI) Setting unicast VRRPv3 checksum to old version", "(VI) Invalid VRRPv3 checksum"})
}
