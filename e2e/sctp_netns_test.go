//go:build netns

package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// TestSCTP plays associations by raw sockets, as not every kernel has SCTP; TestGuestSCTP has the
// kernel's. By NAT, with another port, and by direct routing, over both families: what each end
// gets has the ports and the checksum that it must have, states and counts are those of IPVS.
func TestSCTP(t *testing.T) {
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			top := m.site(t, netlab.Plan{Servers: 2, NoVIP: true})
			for _, h := range top.Servers {
				for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
					at := vip
					if m.kind == "NAT" {
						if at = h.Addr4("eth0"); vip.Is6() {
							at = h.Addr6("eth0")
						}
					}
					serveSCTP(t, h, at, m.port)
				}
			}
			config := strings.ReplaceAll(uncheck(m.config(top)), "protocol TCP", "protocol SCTP")
			d := startDirector(t, top.Directors[0], config, "--workers", "2")
			for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
				t.Run(family(vip), func(t *testing.T) { associate(t, d, top, m, vip) })
			}
			d.stop()
		})
	}
}

func associate(t *testing.T, d *director, top *netlab.Topology, m mode, vip netip.Addr) {
	client := top.Clients[0]
	from, first := client.Addr4("eth0"), uint16(40000)
	if vip.Is6() {
		from, first = client.Addr6("eth0"), 41000
	}
	established, ended := "ESTABLISHED", "S-ACK-SENT"
	if m.kind == "DR" {
		ended = "S-RECEIVED" // the server's answer is not seen
	}
	seen := make(map[string]bool)
	for port := first; port < first+2; port++ {
		end := openSCTP(t, client, from, vip, port)
		seen[end.ask(wire.SCTPInit, wire.SCTPInitAck)] = true
		end.ask(wire.SCTPCookieEcho, wire.SCTPCookieAck)
		end.ask(sctpData, sctpSack)
		expectState(t, d, port, established)
		end.ask(sctpShutdown, wire.SCTPShutdownAck)
		expectState(t, d, port, ended)
	}
	if !seen["server1"] || !seen["server2"] {
		t.Errorf("%s: rr brought two associations to %v", family(vip), seen)
	}
	// Of nobody's association; a director that has just started keeps silent.
	stranger := openSCTP(t, client, from, vip, first+9)
	stranger.send(sctpData)
	if got := d.status().Drops["drop_no_flow"]; got == 0 {
		stranger.silent()
		if got = d.status().Drops["drop_no_flow"]; got == 0 {
			t.Errorf("%s: a packet of no association was not dropped: %v", family(vip), d.status().Drops)
		}
	}
}

// expectState wants a client port's association listed in a state.
func expectState(t *testing.T, d *director, port uint16, state string) {
	t.Helper()
	list := d.uvs("ipvsadm", "-L", "-n", "-c")
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) == 6 && f[0] == "SCTP" && strings.HasSuffix(f[3], fmt.Sprintf(":%d", port)) {
			if f[2] != state {
				t.Errorf("client port %d is listed as %s, want %s", port, f[2], state)
			}
			return
		}
	}
	t.Errorf("client port %d is not listed:\n%s", port, list)
}

// Chunks that only tests send.
const (
	sctpData     = 0
	sctpSack     = 3
	sctpShutdown = 7
)

// packSCTP returns a packet with one chunk.
func packSCTP(source, destination uint16, chunk uint8, value string) wire.SCTP {
	p := wire.SCTP(make([]byte, wire.SCTPLen+wire.SCTPChunkLen+(len(value)+3)&^3))
	binary.BigEndian.PutUint16(p[0:], source)
	binary.BigEndian.PutUint16(p[2:], destination)
	binary.BigEndian.PutUint32(p[4:], 0x01020304)
	p[12] = chunk
	binary.BigEndian.PutUint16(p[14:], uint16(wire.SCTPChunkLen+len(value)))
	copy(p[16:], value)
	p.SetCRC(p.Sum())
	return p
}

func listenSCTP(t *testing.T, h *netlab.Host, at netip.Addr) net.PacketConn {
	t.Helper()
	network := "ip4:132"
	if at.Is6() {
		network = "ip6:132"
	}
	c, err := h.ListenPacket(t.Context(), network, at.String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serveSCTP answers each chunk that opens, uses or ends an association, with the host's name.
func serveSCTP(t *testing.T, h *netlab.Host, at netip.Addr, port int) {
	t.Helper()
	c := listenSCTP(t, h, at)
	answers := map[uint8]uint8{
		wire.SCTPInit: wire.SCTPInitAck, wire.SCTPCookieEcho: wire.SCTPCookieAck, sctpData: sctpSack, sctpShutdown: wire.SCTPShutdownAck,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			p := wire.SCTP(buf[:n])
			if len(p) < wire.SCTPLen+wire.SCTPChunkLen || p.CRC() != p.Sum() || int(wire.DestinationPort(p)) != port {
				continue // the client misses the answer
			}
			if answer, ok := answers[p.Chunk(wire.SCTPLen).Type()]; ok {
				c.WriteTo(packSCTP(uint16(port), wire.SourcePort(p), answer, h.Name()), from) //nolint:errcheck // the client notices
			}
		}
	}()
	t.Cleanup(func() {
		c.Close() //nolint:errcheck // it ends the loop
		<-done
	})
}

// An sctpEnd is a client's end of an association with a service at port 80.
type sctpEnd struct {
	t    *testing.T
	conn net.PacketConn
	vip  netip.Addr
	port uint16
}

func openSCTP(t *testing.T, h *netlab.Host, from, vip netip.Addr, port uint16) *sctpEnd {
	t.Helper()
	c := listenSCTP(t, h, from)
	t.Cleanup(func() { c.Close() })
	return &sctpEnd{t, c, vip, port}
}

func (e *sctpEnd) send(chunk uint8) {
	e.t.Helper()
	if _, err := e.conn.WriteTo(packSCTP(e.port, 80, chunk, "data"), &net.IPAddr{IP: e.vip.AsSlice()}); err != nil {
		e.t.Fatal(err)
	}
}

// ask sends a chunk and waits for the answer, whose value it returns.
func (e *sctpEnd) ask(chunk, want uint8) string {
	e.t.Helper()
	e.send(chunk)
	p := e.receive(labtest.Hang)
	if p == nil {
		e.t.Fatalf("%s, port %d: no answer to chunk %d", e.vip, e.port, chunk)
	}
	c := p.Chunk(wire.SCTPLen)
	if c.Type() != want || wire.SourcePort(p) != 80 || p.CRC() != p.Sum() {
		e.t.Fatalf("%s, port %d: chunk %d is answered by % x, want chunk %d from port 80 with a right checksum", e.vip, e.port, chunk, []byte(p), want)
	}
	return string(c[wire.SCTPChunkLen:c.Len()])
}

// receive returns the next packet for the end, nil if none comes in time.
func (e *sctpEnd) receive(patience time.Duration) wire.SCTP {
	e.t.Helper()
	if err := e.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		e.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		n, from, err := e.conn.ReadFrom(buf)
		if err != nil {
			return nil
		}
		p := wire.SCTP(buf[:n])
		if from.String() == e.vip.String() && len(p) >= wire.SCTPLen+wire.SCTPChunkLen && wire.DestinationPort(p) == e.port {
			return p
		}
	}
}

// silent wants no answer for a while.
func (e *sctpEnd) silent() {
	e.t.Helper()
	if p := e.receive(300 * time.Millisecond); p != nil {
		e.t.Errorf("%s, port %d: an answer % x", e.vip, e.port, []byte(p))
	}
}
