package forwarding

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// A tcp is a segment with all that matters to FTP.
type tcp struct {
	src, dst netip.AddrPort
	flags    uint8
	seq, ack uint32
	payload  string
	sack     []uint32 // edges
	pad      int      // no-operations before the blocks
	offload  bool     // with a partial checksum
	gso      int      // payload of each segment
}

func (g tcp) frame(t testing.TB) (data []byte, vnet VnetHeader) {
	t.Helper()
	eth := &layers.Ethernet{DstMAC: net.HardwareAddr(outsideMAC[:]), SrcMAC: net.HardwareAddr(gatewayMAC[:]), EthernetType: layers.EthernetTypeIPv4}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	}
	ip = &layers.IPv4{Version: 4, TTL: 64, Id: 7, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP, SrcIP: g.src.Addr().AsSlice(), DstIP: g.dst.Addr().AsSlice()}
	if g.src.Addr().Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: g.src.Addr().AsSlice(), DstIP: g.dst.Addr().AsSlice()}
	}
	h := &layers.TCP{SrcPort: layers.TCPPort(g.src.Port()), DstPort: layers.TCPPort(g.dst.Port()), Seq: g.seq, Ack: g.ack, Window: 500,
		FIN: g.flags&wire.TCPFin != 0, SYN: g.flags&wire.TCPSyn != 0, RST: g.flags&wire.TCPRst != 0, ACK: g.flags&wire.TCPAck != 0}
	for range g.pad {
		h.Options = append(h.Options, layers.TCPOption{OptionType: layers.TCPOptionKindNop})
	}
	if len(g.sack) > 0 {
		var b []byte
		for _, edge := range g.sack {
			b = binary.BigEndian.AppendUint32(b, edge)
		}
		h.Options = append(h.Options, layers.TCPOption{OptionType: layers.TCPOptionKindSACK, OptionLength: uint8(2 + len(b)), OptionData: b})
	}
	h.SetNetworkLayerForChecksum(ip) //nolint:errcheck // both families are known to it
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, eth, ip, h, gopacket.Payload(g.payload)); err != nil {
		t.Fatal(err)
	}
	data = buf.Bytes()
	vnet = vnetFor(data, g.offload || g.gso > 0)
	if g.gso > 0 {
		vnet[1] = vnetTCPv4
		putNative(vnet[4:], uint16(g.gso))
	}
	return data, vnet
}

// play sends a segment in and tells what of it leaves.
func (s *site) play(port int, g tcp) (out tcp, reason Reason) {
	s.t.Helper()
	data, vnet := g.frame(s.t)
	f, _, reason := s.process(port, data, vnet)
	if f == nil {
		return tcp{}, reason
	}
	describe(s.t, f) // verifies the checksums
	return read(s.t, f), reason
}

func read(t testing.TB, f *Frame) tcp {
	t.Helper()
	p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
	h := p.TransportLayer().(*layers.TCP)
	src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
	end := func(a gopacket.Endpoint, port layers.TCPPort) netip.AddrPort {
		addr, _ := netip.AddrFromSlice(a.Raw())
		return netip.AddrPortFrom(addr, uint16(port))
	}
	g := tcp{src: end(src, h.SrcPort), dst: end(dst, h.DstPort), seq: h.Seq, ack: h.Ack, payload: string(h.Payload)}
	for _, o := range h.Options {
		if o.OptionType == layers.TCPOptionKindSACK {
			for b := o.OptionData; len(b) >= 4; b = b[4:] {
				g.sack = append(g.sack, binary.BigEndian.Uint32(b))
			}
		}
	}
	return g
}

// An ftpSite is a site with an established control connection.
type ftpSite struct {
	*site
	client, vip, server netip.AddrPort
}

func newFTPSite(t *testing.T, v6 bool) *ftpSite {
	t.Helper()
	s := &ftpSite{site: newSite(t)}
	s.engine.ftpPorts = []uint16{21}
	n := siteNetwork()
	n.Forwarding4, n.Forwarding6 = true, true
	s.engine.SetRoutes(NewRoutes(n))
	vip, client, server := vip4, client4, server4(0)
	if v6 {
		vip, client, server = vip6, client6, server6(0)
	}
	s.serve(vip, 21, wire.ProtoTCP, Masq, 2121, 1)
	s.client, s.vip, s.server = endpoint(client, 40000), endpoint(vip, 21), endpoint(server, 2121)
	s.request(wire.TCPSyn, 999, 0, "")
	s.answer(wire.TCPSyn|wire.TCPAck, 4999, 1000, "")
	s.request(wire.TCPAck, 1000, 5000, "")
	return s
}

func (s *ftpSite) request(flags uint8, seq, ack uint32, payload string) tcp {
	s.t.Helper()
	out, reason := s.play(outside, tcp{src: s.client, dst: s.vip, flags: flags, seq: seq, ack: ack, payload: payload})
	if reason != Forwarded || out.dst != s.server || out.src != s.client {
		s.t.Fatalf("%q from the client: %s, %v to %v", payload, reason, out.src, out.dst)
	}
	return out
}

func (s *ftpSite) answer(flags uint8, seq, ack uint32, payload string) tcp {
	s.t.Helper()
	out, reason := s.play(inside, tcp{src: s.server, dst: s.client, flags: flags, seq: seq, ack: ack, payload: payload})
	if reason != Forwarded || out.src != s.vip || out.dst != s.client {
		s.t.Fatalf("%q from the server: %s, %v to %v", payload, reason, out.src, out.dst)
	}
	return out
}

// listed returns the flows as ipvsadm -Lnc shows them, without times.
func (s *ftpSite) listed() string {
	var lines []string
	s.engine.flows.Each(s.now, func(e *conntrack.Entry) bool {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", e.State, e.Client, e.Virtual, e.Dest))
		return true
	})
	return strings.Join(lines, "\n")
}

// TestFTPPassive: the answer names the virtual address, a connection from any port of the client
// to the port that it names reaches that port of the server, and the answers come back.
func TestFTPPassive(t *testing.T) {
	for _, c := range []struct {
		name, command, answer, want string
		v6                          bool
	}{
		{"PASV", "PASV\r\n", "227 Entering Passive Mode (198,51,100,11,195,80).\r\n", "227 Entering Passive Mode (192,0,2,10,195,80).\r\n", false},
		{"PASV of a server that knows its public address", "PASV\r\n", "227 Entering Passive Mode (192,0,2,10,195,80).\r\n", "227 Entering Passive Mode (192,0,2,10,195,80).\r\n", false},
		{"EPSV", "EPSV\r\n", "229 Extended Passive Mode (|||50000|)\r\n", "229 Extended Passive Mode (|||50000|)\r\n", false},
		{"EPSV with an address", "EPSV 1\r\n", "229 Extended Passive Mode (|1|198.51.100.11|50000|)\r\n", "229 Extended Passive Mode (|||50000|)\r\n", false},
		{"EPSV over IPv6", "EPSV 2\r\n", "229 Extended Passive Mode (|||50000|)\r\n", "229 Extended Passive Mode (|||50000|)\r\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFTPSite(t, c.v6)
			s.request(wire.TCPAck, 1000, 5000, c.command)
			if got := s.answer(wire.TCPAck, 5000, 1006, c.answer); got.payload != c.want {
				t.Fatalf("the client reads %q, want %q", got.payload, c.want)
			}
			data := endpoint(s.client.Addr(), 40777)
			open := tcp{src: data, dst: endpoint(s.vip.Addr(), 50000), flags: wire.TCPSyn, seq: 1}
			out, reason := s.play(outside, open)
			if reason != Forwarded || out.dst != endpoint(s.server.Addr(), 50000) {
				t.Fatalf("the data connection: %s, goes to %v", reason, out.dst)
			}
			out, reason = s.play(inside, tcp{src: endpoint(s.server.Addr(), 50000), dst: data, flags: wire.TCPSyn | wire.TCPAck, seq: 1, ack: 2})
			if reason != Forwarded || out.src != open.dst {
				t.Fatalf("its answer: %s, comes from %v", reason, out.src)
			}
			want := fmt.Sprintf("ESTABLISHED %s %s %s\nSYN_RECV %s %s %s", s.client, s.vip, s.server, data, open.dst, endpoint(s.server.Addr(), 50000))
			if got := s.listed(); got != want {
				t.Errorf("the flows are\n%s\nwant\n%s", got, want)
			}
			// It was for one connection: a second one has no business there.
			open.src = endpoint(s.client.Addr(), 40778)
			if _, reason := s.play(outside, open); reason != PassNotServed {
				t.Errorf("a second data connection: %s", reason)
			}
		})
	}
}

// TestFTPActive: the server's connection from the port below its own comes from the port below
// the service's, to where the client said.
func TestFTPActive(t *testing.T) {
	for _, c := range []struct {
		command string
		v6      bool
	}{{"PORT 203,0,113,5,159,82\r\n", false}, {"EPRT |1|203.0.113.5|40786|\r\n", false}, {"EPRT |2|2001:db8:9::5|40786|\r\n", true}} {
		s := newFTPSite(t, c.v6)
		if got := s.request(wire.TCPAck, 1000, 5000, c.command); got.payload != c.command {
			t.Fatalf("the server reads %q", got.payload)
		}
		data := endpoint(s.client.Addr(), 40786)
		out, reason := s.play(inside, tcp{src: endpoint(s.server.Addr(), 2120), dst: data, flags: wire.TCPSyn, seq: 1})
		if reason != Forwarded || out.src != endpoint(s.vip.Addr(), 20) || out.dst != data {
			t.Fatalf("%q: the server's connection: %s, comes from %v to %v", c.command, reason, out.src, out.dst)
		}
		out, reason = s.play(outside, tcp{src: data, dst: endpoint(s.vip.Addr(), 20), flags: wire.TCPSyn | wire.TCPAck, seq: 1, ack: 2})
		if reason != Forwarded || out.dst != endpoint(s.server.Addr(), 2120) {
			t.Fatalf("%q: the client's answer: %s, goes to %v", c.command, reason, out.dst)
		}
		s.play(inside, tcp{src: endpoint(s.server.Addr(), 2120), dst: data, flags: wire.TCPAck, seq: 2, ack: 2})
		if got := s.listed(); !strings.Contains(got, fmt.Sprintf("ESTABLISHED %s %s", data, endpoint(s.vip.Addr(), 20))) {
			t.Errorf("the flows are\n%s", got)
		}
	}
}

// longAnswer is what a server says whose address is longer than the virtual one by delta bytes.
const (
	longAnswer = "227 Entering Passive Mode (198,51,100,11,195,80).\r\n"
	shortened  = "227 Entering Passive Mode (192,0,2,10,195,80).\r\n"
	delta      = len(longAnswer) - len(shortened)
)

// TestFTPNumbersFollow: what comes after an answer that became shorter is numbered, and
// acknowledged, as each side counts; also what is sent again, in whatever make of frame.
func TestFTPNumbersFollow(t *testing.T) {
	for _, offload := range []bool{false, true} {
		s := newFTPSite(t, false)
		end := uint32(5000 + len(longAnswer))
		s.request(wire.TCPAck, 1000, 5000, "PASV\r\n")
		for range 2 { // the second one is sent again
			out, reason := s.play(inside, tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: 5000, ack: 1006, payload: longAnswer, offload: offload})
			if reason != Forwarded || out.payload != shortened || out.seq != 5000 {
				t.Fatalf("%s: the client reads %q at %d", reason, out.payload, out.seq)
			}
		}
		seen := end - uint32(delta) // what the client has
		if out := s.request(wire.TCPAck, 1006, seen, "RETR x\r\n"); out.ack != end || out.seq != 1006 {
			t.Errorf("the server reads acknowledgement %d, want %d; seq %d", out.ack, end, out.seq)
		}
		out, _ := s.play(inside, tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: end, ack: 1014, payload: "150 Opening\r\n", offload: offload})
		if out.seq != seen || out.payload != "150 Opening\r\n" {
			t.Errorf("the next answer is at %d, want %d", out.seq, seen)
		}
		if out.ack != 1014 {
			t.Errorf("the server's acknowledgement became %d", out.ack)
		}
		// An acknowledgement of what came before the change, and blocks after it.
		for pad := range 4 {
			out, _ = s.play(outside, tcp{src: s.client, dst: s.vip, flags: wire.TCPAck, seq: 1014, ack: 5000, pad: pad, offload: offload,
				sack: []uint32{seen, seen + 5, 5000, seen}})
			if want := []uint32{end, end + 5, 5000, end}; out.ack != 5000 || fmt.Sprint(out.sack) != fmt.Sprint(want) {
				t.Errorf("the server reads acknowledgement %d and blocks %v, want 5000 and %v", out.ack, out.sack, want)
			}
		}
		// A second change adds up.
		s.request(wire.TCPAck, 1014, seen, "PASV\r\n")
		s.play(inside, tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: end + 13, ack: 1020, payload: longAnswer, offload: offload})
		end += 13 + uint32(len(longAnswer))
		if out := s.request(wire.TCPAck, 1020, end-uint32(2*delta), "QUIT\r\n"); out.ack != end {
			t.Errorf("after two changes the server reads acknowledgement %d, want %d", out.ack, end)
		}
	}
}

// TestFTPAnswerAmongOthers: in a frame of several segments the answer is found in whichever
// line it stands.
func TestFTPAnswerAmongOthers(t *testing.T) {
	s := newFTPSite(t, false)
	s.request(wire.TCPAck, 1000, 5000, "TYPE I\r\nPASV\r\n")
	before := "200 Type set.\r\n"
	out, reason := s.play(inside, tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: 5000, ack: 1014, payload: before + longAnswer + "xyz", gso: 20})
	if reason != Forwarded || out.payload != before+shortened+"xyz" {
		t.Errorf("%s: the client reads %q", reason, out.payload)
	}
}

// TestFTPAnswerOutgrowsTheMTU: a segment that fills the link and becomes longer goes on as two.
func TestFTPAnswerOutgrowsTheMTU(t *testing.T) {
	s := newFTPSite(t, false)
	n := siteNetwork()
	n.Locals = append(n.Locals, netip.MustParsePrefix("192.0.2.110/32"))
	s.engine.SetRoutes(NewRoutes(n))
	s.serve(netip.MustParseAddr("192.0.2.110"), 21, wire.ProtoTCP, Masq, 2121, 1)
	s.vip = endpoint(netip.MustParseAddr("192.0.2.110"), 21)
	s.client = endpoint(client4, 40001)
	s.request(wire.TCPSyn, 999, 0, "")
	s.answer(wire.TCPSyn|wire.TCPAck, 4999, 1000, "")
	s.request(wire.TCPAck, 1000, 5000, "PASV\r\n")
	said := "227 Mode (1,1,1,1,195,80)\r\n"
	filler := strings.Repeat("x", 1460-len(said))
	data, vnet := tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: 5000, ack: 1006, payload: said + filler}.frame(t)
	out, _, reason := s.process(inside, data, vnet)
	if reason != Forwarded || len(s.own) != 1 {
		t.Fatalf("%s, and %d frames more", reason, len(s.own))
	}
	describe(t, out)
	describe(t, &s.own[0].frame)
	first, second := read(t, out), read(t, &s.own[0].frame)
	if want := "227 Mode (192,0,2,110,195,80)\r\n" + filler; first.payload+second.payload != want {
		t.Errorf("the client reads %q", first.payload+second.payload)
	}
	if len(first.payload) != 1460 || second.seq != first.seq+1460 {
		t.Errorf("%d bytes at %d, then %d bytes at %d", len(first.payload), first.seq, len(second.payload), second.seq)
	}
}

// TestFTPWhatIsLeftAlone: words that are not whole, ports that no data connection has, and
// segments that are damaged.
func TestFTPWhatIsLeftAlone(t *testing.T) {
	for _, c := range []struct{ name, command, answer string }{
		{"nobody asked", "NOOP\r\n", longAnswer},
		{"another answer", "EPSV\r\n", longAnswer},
		{"cut", "PASV\r\n", "227 Entering Passive Mode (198,51,100,11,195,8"},
		{"a privileged port", "PASV\r\n", "227 Entering Passive Mode (198,51,100,11,0,22).\r\n"},
	} {
		s := newFTPSite(t, false)
		s.request(wire.TCPAck, 1000, 5000, c.command)
		if got := s.answer(wire.TCPAck, 5000, 1006, c.answer); got.payload != c.answer {
			t.Errorf("%s: the client reads %q", c.name, got.payload)
		}
		if got := s.listed(); strings.Contains(got, "LISTEN") {
			t.Errorf("%s: a flow waits:\n%s", c.name, got)
		}
	}
	s := newFTPSite(t, false)
	s.request(wire.TCPAck, 1000, 5000, "PASV\r\n")
	data, vnet := tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: 5000, ack: 1006, payload: longAnswer}.frame(t)
	data[len(data)-3] ^= 1
	s.process(inside, data, vnet)
	if got := s.listed(); strings.Contains(got, "LISTEN") {
		t.Error("a segment with a wrong checksum was believed")
	}
}

// TestFTPPortOfTheVirtualAddress: one that a service has, or a data connection of the same client
// to another server, is passed over.
func TestFTPPortOfTheVirtualAddress(t *testing.T) {
	s := newFTPSite(t, false)
	s.serve(vip4, 50000, wire.ProtoTCP, Masq, 80, 1)
	s.request(wire.TCPAck, 1000, 5000, "PASV\r\n")
	want := "227 Entering Passive Mode (192,0,2,10,195,81).\r\n"
	for range 2 {
		if got := s.answer(wire.TCPAck, 5000, 1006, longAnswer); got.payload != want {
			t.Fatalf("the client reads %q, want %q", got.payload, want)
		}
	}
	open := tcp{src: endpoint(client4, 40777), dst: endpoint(vip4, 50001), flags: wire.TCPSyn, seq: 1}
	if out, reason := s.play(outside, open); reason != Forwarded || out.dst != endpoint(server4(0), 50000) {
		t.Errorf("the data connection: %s, goes to %v", reason, out.dst)
	}
}

// TestFTPWaitsForSteering: nobody hears of a data connection whose packets the host's stack
// would answer; afterwards the answer goes on by itself.
func TestFTPWaitsForSteering(t *testing.T) {
	s := newFTPSite(t, false)
	s.engine.data.waits = true
	s.request(wire.TCPAck, 1000, 5000, "EPSV\r\n")
	said := tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: 5000, ack: 1006, payload: "229 Mode (|||50000|)\r\n"}
	if _, reason := s.play(inside, said); reason != held {
		t.Fatal(reason)
	}
	select {
	case <-s.engine.DataChanges():
	default:
		t.Fatal("nobody is told")
	}
	ends, version := s.engine.DataEnds()
	want := DataEnd{endpoint(vip4, 50000), endpoint(server4(0), 50000)}
	if len(ends) != 1 || ends[0] != want {
		t.Fatalf("the ends are %v", ends)
	}
	s.worker.retryHeld(s.now, &s.worker.out)
	if n := len(s.worker.out.ports[outside-1]); n != 0 {
		t.Fatal("it did not wait")
	}
	s.engine.Steered(version)
	s.worker.retryHeld(s.now, &s.worker.out)
	if n := len(s.worker.out.ports[outside-1]); n != 1 {
		t.Fatalf("%d frames leave", n)
	}
	s.worker.out.Reset()
	if _, reason := s.play(inside, said); reason != Forwarded {
		t.Errorf("the same again: %s", reason)
	}
	// What the server sends from there to others never reaches the stack, so it is routed.
	stranger := tcp{src: want.Server, dst: netip.MustParseAddrPort("203.0.113.99:7"), flags: wire.TCPAck}
	if out, reason := s.play(inside, stranger); reason != Forwarded || out.src != want.Server {
		t.Errorf("to another host: %s, from %v", reason, out.src)
	}
	s.now = s.now.Add(150 * time.Second)
	s.engine.flows.Expire(s.now, 1000)
	if !s.engine.DataIdle() {
		t.Error("the end is in use although nobody came")
	}
	if ends, _ := s.engine.DataEnds(); len(ends) != 0 {
		t.Errorf("ends are left: %v", ends)
	}
}

// TestFTPWaitsAndGoesByUplink: an answer that waited for steering leaves the way that it would have
// left without that, not the one that the routes have.
func TestFTPWaitsAndGoesByUplink(t *testing.T) {
	const second = 3
	secondMAC := wire.MAC{2, 0, 0, 0, 0, 3}
	s := newFTPSite(t, false)
	s.worker.SetPorts([]Port{nullPort{link: outside, mac: outsideMAC}, nullPort{link: inside, mac: insideMAC}, nullPort{link: second, mac: secondMAC}})
	s.worker.usePorts()
	n := siteNetwork()
	n.Links = append(n.Links, Link{Index: second, MAC: secondMAC, MTU: 1500})
	s.engine.SetRoutes(NewRoutes(n))
	key := ServiceKey{s.vip.Addr(), s.vip.Port(), wire.ProtoTCP}
	s.update(func(tx *Tx) error { return tx.EditService(key, ServiceSpec{Scheduler: "rr", ReplyByUplink: true}) })
	s.engine.data.waits = true
	s.play(second, tcp{src: s.client, dst: s.vip, flags: wire.TCPAck, seq: 1000, ack: 5000, payload: "EPSV\r\n"})
	said := tcp{src: s.server, dst: s.client, flags: wire.TCPAck, seq: 5000, ack: 1006, payload: "229 Mode (|||50000|)\r\n"}
	if _, reason := s.play(inside, said); reason != held {
		t.Fatal(reason)
	}
	_, version := s.engine.DataEnds()
	s.engine.Steered(version)
	s.worker.retryHeld(s.now, &s.worker.out)
	for i, want := range []int{0, 0, 1} {
		if got := len(s.worker.out.ports[i]); got != want {
			t.Errorf("%d frames leave by link %d, want %d", got, s.worker.ports[i].link, want)
		}
	}
}

// TestFTPByDirectRouting: a service of FTP whose clients persist takes their data connections,
// too, and sends them to the same server; one without persistence takes none.
func TestFTPByDirectRouting(t *testing.T) {
	s := newSite(t)
	key := s.serve(vip4, 21, wire.ProtoTCP, Route, 21, 3)
	open := func(port, to uint16) (string, Reason) {
		data, vnet := tcp{src: endpoint(client4, port), dst: endpoint(vip4, to), flags: wire.TCPSyn}.frame(t)
		out, _, reason := s.process(outside, data, vnet)
		if out == nil {
			return "", reason
		}
		return fmt.Sprint(wire.Ethernet(out.Data).Destination()), reason
	}
	if _, reason := open(40001, 50000); reason != PassNotServed {
		t.Errorf("without persistence: %s", reason)
	}
	if err := s.engine.Update(func(tx *Tx) error {
		return tx.EditService(key, ServiceSpec{Scheduler: "rr", Persistence: time.Minute})
	}); err != nil {
		t.Fatal(err)
	}
	control, _ := open(40002, 21)
	for _, port := range []uint16{20, 1024, 50000, 65535} {
		if data, reason := open(40003, port); reason != Forwarded || data != control {
			t.Errorf("port %d: %s, to %s, want %s", port, reason, data, control)
		}
	}
	for _, c := range []struct{ from, to uint16 }{{40004, 80}, {40004, 1023}} {
		if _, reason := open(c.from, c.to); reason != PassNotServed {
			t.Errorf("from port %d to %d: %s", c.from, c.to, reason)
		}
	}
	if _, reason := open(20, 50001); reason != DropNoFlow || len(s.own) != 1 {
		t.Errorf("from the data port: %s and %d answers, want %s and a reset: the stack gets no such packet", reason, len(s.own), DropNoFlow)
	}
	for i := range 3 {
		s.update(func(tx *Tx) error { return tx.DeleteServer(key, endpoint(server4(i), 21)) })
	}
	if _, reason := open(40005, 50001); reason != DropNoFlow || len(s.own) != 1 {
		t.Errorf("without a server: %s and %d answers, want %s and a reset", reason, len(s.own), DropNoFlow)
	}
}

// TestFTPPassiveAgain: a control connection has one data connection that waits, however often it asks, so that others of
// the same address have theirs; the copy of an answer changes nothing.
func TestFTPPassiveAgain(t *testing.T) {
	s := newFTPSite(t, false)
	waiting := func() (ports []uint16) {
		s.engine.flows.Each(s.now, func(x *conntrack.Entry) bool {
			if x.Flags&conntrack.FlagNoClientPort != 0 {
				ports = append(ports, x.Virtual.Port())
			}
			return true
		})
		slices.Sort(ports)
		return ports
	}
	ask := func(seq, ack uint32, port int) {
		t.Helper()
		s.request(wire.TCPAck, seq, ack, "EPSV\r\n")
		s.answer(wire.TCPAck, ack, seq+6, fmt.Sprintf("229 Extended Passive (|||%d|)\r\n", port))
	}
	seq, ack := uint32(1000), uint32(5000)
	for i := range 100 {
		ask(seq, ack, 30000+i)
		if i%10 == 0 { // its copy
			s.answer(wire.TCPAck, ack, seq+6, fmt.Sprintf("229 Extended Passive (|||%d|)\r\n", 30000+i))
		}
		seq, ack = seq+6, ack+uint32(len("229 Extended Passive (|||30000|)\r\n"))
	}
	if got := waiting(); !slices.Equal(got, []uint16{30099}) {
		t.Fatalf("%v wait, want the last one", got)
	}
	first := s.client
	s.client = endpoint(first.Addr(), 40001)
	s.request(wire.TCPSyn, 999, 0, "")
	s.answer(wire.TCPSyn|wire.TCPAck, 4999, 1000, "")
	s.request(wire.TCPAck, 1000, 5000, "")
	ask(1000, 5000, 31000)
	s.client = first
	ask(seq, ack, 32000) // ends its own alone
	if got := waiting(); !slices.Equal(got, []uint16{31000, 32000}) {
		t.Errorf("%v wait, want one of each connection", got)
	}
	// What one connection promised is not another's to end, though that was told of the same port.
	s.client = endpoint(first.Addr(), 40001)
	length := uint32(len("229 Extended Passive (|||30000|)\r\n"))
	ask(1006, 5000+length, 32000)
	ask(1012, 5000+2*length, 33000)
	if got := waiting(); !slices.Equal(got, []uint16{32000, 33000}) {
		t.Errorf("%v wait, want the first connection's, too", got)
	}
}
