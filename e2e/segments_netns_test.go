//go:build netns

package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
	"uvs/internal/netlab/labtest"
)

// A segment is one transmission of a TCP segment between a client and whoever serves it,
// without what a director rewrites. A retransmission is another one: its time stamp, or at
// least its IPv4 identification, differs.
type segment struct {
	client   netip.AddrPort
	toServer bool
	seq, ack uint32
	flags    string
	length   int    // of the payload
	stamp    uint64 // TCP time stamps: value and echo
	ipID     uint16 // 0 for IPv6
}

func (s segment) String() string {
	arrow := "<-"
	if s.toServer {
		arrow = "->"
	}
	return fmt.Sprintf("%s %s [%s] seq %d ack %d length %d id %d", s.client, arrow, s.flags, s.seq, s.ack, s.length, s.ipID)
}

// A sighting is a segment that an interface sent or received.
type sighting struct {
	segment
	at time.Time
}

func (s sighting) String() string { return s.at.Format("15:04:05.000 ") + s.segment.String() }

// A wires records TCP at the interfaces of the first client and of all servers.
type wires struct {
	t       *testing.T
	top     *netlab.Topology
	client  *capture.Capture
	servers []*capture.Capture
	deaths  []death
	// clientIf is the client's interface.
	clientIf string
}

// A death is a time without a director. Flows that began before it are lost for good.
type death struct{ from, to time.Time }

// deathMargin is how long before the kill a frame may have entered a ring and never left
// it: on a busy machine a worker may wait for its turn.
const deathMargin = 300 * time.Millisecond

// startWires begins to record. Only frames of the interface itself count: a bridge may
// flood others to it.
func startWires(t *testing.T, top *netlab.Topology) *wires {
	t.Helper()
	return startWiresOn(t, top, "eth0", "eth0")
}

// startWiresOn is startWires for other interfaces of clients and servers.
func startWiresOn(t *testing.T, top *netlab.Topology, clientIf, serverIf string) *wires {
	t.Helper()
	record := func(h *netlab.Host, ifname string) *capture.Capture {
		mac, err := h.MAC(ifname)
		if err != nil {
			t.Fatal(err)
		}
		return labtest.Capture(t, h, ifname, "tcp and ether host "+mac.String())
	}
	w := &wires{t: t, top: top, clientIf: clientIf, client: record(top.Clients[0], clientIf)}
	for _, h := range top.Servers {
		w.servers = append(w.servers, record(h, serverIf))
	}
	return w
}

// killed notes that the director is about to be killed; the result, that one is back.
func (w *wires) killed() (back func()) {
	i := len(w.deaths)
	w.deaths = append(w.deaths, death{from: time.Now()})
	return func() { w.deaths[i].to = time.Now() }
}

// waitSYN waits until the client has sent SYNs from n ports since a time.
func (w *wires) waitSYN(n int, since time.Time) {
	w.t.Helper()
	labtest.Eventually(w.t, labtest.Hang, func() error {
		packets, err := w.client.Packets()
		if err != nil {
			return err
		}
		seen := make(map[netip.AddrPort]bool)
		for _, s := range w.sightings(packets) {
			if s.toServer && s.flags == "S" && s.at.After(since) {
				seen[s.client] = true
			}
		}
		if len(seen) < n {
			return fmt.Errorf("%d connections were tried, want %d", len(seen), n)
		}
		return nil
	})
}

// check ends the recording and wants each segment of a side once on the other side, no
// segment on the other side that was not sent, and no reset anywhere but a server's own after
// the end of its connection. What was sent while there was no director, or on a connection
// from before, may be lost. Fewer than least segments in a direction prove nothing.
func (w *wires) check(least int) {
	w.t.Helper()
	end := time.Now() // what is sent from now on may be on one recording only
	client := w.stop(w.client)
	var servers []sighting
	for _, c := range w.servers {
		servers = append(servers, w.stop(c)...)
	}
	born := make(map[netip.AddrPort]time.Time)
	for _, s := range client {
		if _, ok := born[s.client]; !ok {
			born[s.client] = s.at
		}
	}
	for _, side := range []struct {
		name  string
		seen  []sighting
		other []sighting
		sent  bool // toServer of what this side sends
	}{
		{"client", client, servers, true},
		{"server", servers, client, false},
	} {
		for _, s := range side.seen {
			if strings.Contains(s.flags, "R") && !afterEnd(s, client, servers) {
				w.t.Errorf("reset seen by the %s: %s", side.name, s)
			}
		}
		sent, arrived := count(side.seen, side.sent), count(side.other, side.sent)
		for s, n := range count(before(side.other, end), side.sent) {
			if n > sent[s] {
				w.t.Errorf("sent by the %s %d times, arrived %d times: %s", side.name, sent[s], n, s)
			}
		}
		compared, lost := 0, 0
		for _, s := range before(side.seen, end) {
			if s.toServer != side.sent {
				continue
			}
			compared++
			if arrived[s.segment] == 0 {
				lost++
				if !w.excused(s, born[s.client]) {
					w.t.Errorf("sent by the %s, never arrived: %s", side.name, s)
				}
			}
		}
		if compared-lost < least {
			w.t.Errorf("only %d segments of the %s were compared", compared-lost, side.name)
		}
		w.t.Logf("%s sent %d segments, of which %d came to no director", side.name, compared, lost)
	}
}

// afterEnd reports whether a server itself sent a reset for a connection that both ends had
// closed: on a slow machine a FIN is repeated, and so is its acknowledgement, which then finds
// nobody.
func afterEnd(reset sighting, client, servers []sighting) bool {
	is := func(s sighting) bool { return s.segment == reset.segment }
	sent := slices.IndexFunc(servers, is)
	if reset.toServer || sent < 0 || !slices.ContainsFunc(client, is) {
		return false
	}
	closed := func(toServer bool) bool {
		return slices.ContainsFunc(servers, func(s sighting) bool {
			return s.client == reset.client && s.toServer == toServer && strings.Contains(s.flags, "F") && s.at.Before(servers[sent].at)
		})
	}
	return closed(true) && closed(false)
}

// excused reports whether nobody can have brought a segment to the other side.
func (w *wires) excused(s sighting, born time.Time) bool {
	return slices.ContainsFunc(w.deaths, func(d death) bool {
		return s.at.After(d.from.Add(-deathMargin)) && (born.Before(d.from) || s.at.Before(d.to))
	})
}

// count counts the transmissions in one direction.
func count(list []sighting, toServer bool) map[segment]int {
	n := make(map[segment]int)
	for _, s := range list {
		if s.toServer == toServer {
			n[s.segment]++
		}
	}
	return n
}

// before returns what of a recording is older than a time.
func before(list []sighting, until time.Time) []sighting {
	return slices.DeleteFunc(slices.Clone(list), func(s sighting) bool { return !s.at.Before(until) })
}

func (w *wires) stop(c *capture.Capture) []sighting {
	w.t.Helper()
	packets, err := c.Stop()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.sightings(packets)
}

// sightings returns the segments from or to the client.
func (w *wires) sightings(packets []gopacket.Packet) []sighting {
	isClient := make(map[netip.Addr]bool)
	for _, p := range w.top.Clients[0].Addrs(w.clientIf) {
		isClient[p.Addr()] = true
	}
	var list []sighting
	for _, p := range packets {
		s, src, dst, ok := decodeSegment(p)
		switch {
		case !ok:
			continue
		case isClient[src.Addr()]:
			s.client, s.toServer = src, true
		case isClient[dst.Addr()]:
			s.client = dst
		default:
			continue // a health check
		}
		list = append(list, sighting{s, p.Metadata().Timestamp})
	}
	return list
}

func decodeSegment(p gopacket.Packet) (s segment, src, dst netip.AddrPort, ok bool) {
	tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if tcp == nil {
		return s, src, dst, false
	}
	header := int(tcp.DataOffset) * 4
	var from, to netip.Addr
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		from, _ = netip.AddrFromSlice(ip.SrcIP)
		to, _ = netip.AddrFromSlice(ip.DstIP)
		s.length, s.ipID = int(ip.Length)-int(ip.IHL)*4-header, ip.Id
	case *layers.IPv6:
		from, _ = netip.AddrFromSlice(ip.SrcIP)
		to, _ = netip.AddrFromSlice(ip.DstIP)
		s.length = int(ip.Length) - header
	}
	s.seq, s.ack = tcp.Seq, tcp.Ack
	for _, f := range []struct {
		set  bool
		word string
	}{{tcp.SYN, "S"}, {tcp.FIN, "F"}, {tcp.RST, "R"}, {tcp.PSH, "P"}, {tcp.ACK, "."}} {
		if f.set {
			s.flags += f.word
		}
	}
	for _, o := range tcp.Options {
		if o.OptionType == layers.TCPOptionKindTimestamps && len(o.OptionData) == 8 {
			s.stamp = binary.BigEndian.Uint64(o.OptionData)
		}
	}
	return s, netip.AddrPortFrom(from, uint16(tcp.SrcPort)), netip.AddrPortFrom(to, uint16(tcp.DstPort)), true
}
