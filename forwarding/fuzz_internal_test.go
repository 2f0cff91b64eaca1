package forwarding

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"uvs/internal/mono"
	"uvs/internal/wire"
)

// seedFrames are valid frames of every kind, for the fuzzers to spoil.
func seedFrames(f *testing.F) [][]byte {
	f.Helper()
	var frames [][]byte
	for _, g := range []segment{
		{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn},
		{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPAck, payload: 50},
		{src: endpoint(server4(0), 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck},
		{src: endpoint(client4, 5000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 9},
		{src: endpoint(client4, 5000), dst: endpoint(vip4, 80), protocol: wire.ProtoSCTP, flags: wire.SCTPInit, payload: 9},
		{src: endpoint(client4, 5000), dst: endpoint(vip4, 80), protocol: wire.ProtoSCTP, flags: wire.SCTPError, payload: 4},
		{src: endpoint(client4, 5000), dst: endpoint(vip4, 90), protocol: wire.ProtoUDP, payload: 9},
		{src: endpoint(client4, 5000), dst: endpoint(vip4, 91), protocol: wire.ProtoUDP, payload: 9},
		{src: endpoint(client4, 5000), dst: endpoint(vip4, 92), protocol: wire.ProtoUDP, payload: 9},
		{src: endpoint(client6, 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn},
		{src: endpoint(server6(0), 80), dst: endpoint(client6, 40000), protocol: wire.ProtoTCP, flags: wire.TCPFin},
	} {
		frames = append(frames, g.frame(f))
	}
	for _, m := range []icmpMessage{
		{src: netip.MustParseAddr("203.0.113.99"), dst: vip4, kind: 3, code: 4, rest: 1400,
			quoted: segment{src: endpoint(vip4, 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP}.quote(f, 8)},
		{src: server4(0), dst: client4, kind: 11,
			quoted: segment{src: endpoint(client4, 40000), dst: endpoint(server4(0), 8080), protocol: wire.ProtoTCP, payload: 90}.quote(f, 99)},
		{src: netip.MustParseAddr("2001:db8:9::99"), dst: vip6, kind: 2, rest: 1400,
			quoted: segment{src: endpoint(vip6, 80), dst: endpoint(client6, 40000), protocol: wire.ProtoTCP}.quote(f, 50)},
	} {
		frames = append(frames, m.frame(f))
	}
	frames = append(frames, tunnelErrors(f)...)
	frames = append(frames, cut4(segment{src: endpoint(client4, 5000), dst: endpoint(vip4, 53), protocol: wire.ProtoUDP, payload: 200}.frame(f), 128, 0)...)
	frames = append(frames, cut6(segment{src: endpoint(client6, 5000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, payload: 200}.frame(f), 150, 0, 9)...)
	hopByHop := bytes.Clone(frames[9])
	hopByHop[20] = wire.ProtoHopByHop
	return append(frames, hopByHop)
}

// fuzzTunnels are the tunnels of ports 90 to 92 in FuzzProcess.
func fuzzTunnels() []TunnelSpec {
	return []TunnelSpec{{}, {Type: GUE, Port: 6080, Checksum: RemoteChecksum}, {Type: GRE, Checksum: Checksum}}
}

// tunnelErrors are errors about what goes through them.
func tunnelErrors(f *testing.F) (frames [][]byte) {
	s := newSite(f)
	s.serveTunnels()
	for i := range fuzzTunnels() {
		quoted := s.tunnelled(segment{src: endpoint(client4, 5000), dst: endpoint(vip4, uint16(90+i)), protocol: wire.ProtoUDP, payload: 9}, true)
		frames = append(frames, icmpMessage{src: server4(0), dst: netip.MustParseAddr("198.51.100.1"), kind: 3, code: 4, rest: 600, quoted: quoted}.frame(f))
	}
	return frames
}

// serveTunnels adds a service for each of fuzzTunnels.
func (s *site) serveTunnels() {
	s.narrow(1500, 1500)
	for i, spec := range fuzzTunnels() {
		key := ServiceKey{vip4, uint16(90 + i), wire.ProtoUDP}
		s.update(func(tx *Tx) error {
			return errors.Join(
				tx.AddService(key, ServiceSpec{Scheduler: "rr"}),
				tx.AddServer(key, endpoint(server4(0), key.Port), ServerSpec{Method: Tunnel, Weight: 1, Tunnel: spec}),
			)
		})
	}
}

// FuzzDecode: whatever the bytes, Decode does not panic, and what it accepts lies within
// the frame.
func FuzzDecode(f *testing.F) {
	for _, b := range seedFrames(f) {
		f.Add(b, []byte(nil))
		f.Add(b, []byte{1, 1, 54, 0, 0x05, 0xb4, 34, 0, 16, 0})
	}
	f.Fuzz(func(t *testing.T, data, vnet []byte) {
		frame := Frame{Data: bytes.Clone(data)}
		if len(vnet) >= VnetLen {
			frame.Vnet = VnetHeader(vnet[:VnetLen])
		}
		var p Packet
		if reason := Decode(&frame, &p); reason != Forwarded {
			return
		}
		if !bytes.HasPrefix(data, frame.Data) {
			t.Fatal("Decode changed the frame")
		}
		need := p.l4 + wire.TCPLen
		switch p.Tuple.Proto {
		case wire.ProtoUDP:
			need = p.l4 + wire.UDPLen
		case wire.ProtoSCTP:
			need = p.l4 + wire.SCTPLen + wire.SCTPChunkLen
		}
		if p.kind == kindFragment {
			if g := p.fragment; g.head <= wire.EthernetLen || g.head >= len(frame.Data) || g.offset%8 != 0 || g.offset+len(frame.Data)-g.head > datagramBytes {
				t.Fatalf("accepted as fragment %+v in a frame of %d", g, len(frame.Data))
			}
			need = p.fragment.head
		}
		if p.kind == kindError {
			if need = p.quotedL4 + 4; p.quoted != p.l4+wire.ICMPLen || p.quotedL4 < p.quoted+wire.IPv4Len {
				t.Fatalf("accepted with ICMP at %d, a packet inside at %d and its transport at %d", p.l4, p.quoted, p.quotedL4)
			}
		}
		if p.l4 < wire.EthernetLen+wire.IPv4Len || need > len(frame.Data) || wire.EthernetLen+p.ipLen != len(frame.Data) {
			t.Fatalf("accepted with l4 at %d and %d IP bytes in a frame of %d", p.l4, p.ipLen, len(frame.Data))
		}
	})
}

// FuzzProcess runs arbitrary sequences of frames through a worker with services: no panic,
// one verdict for each frame, and no frame that grows, but for errors of our own, what comes of
// fragments, and a tunnel's headers.
func FuzzProcess(f *testing.F) {
	seeds := seedFrames(f)
	for i, b := range seeds[:len(seeds)-1] {
		f.Add(b, seeds[i+1], uint8(0))
	}
	for _, b := range seeds {
		f.Add(b, b, uint8(0))
		f.Add(b, b, uint8(1))
		f.Add(b, b, uint8(4))
		f.Add(b, b, uint8(8|16))
	}
	s := newSite(f)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 8080, 2)
	s.serve(vip4, 53, wire.ProtoUDP, Route, 53, 2)
	s.serve(vip4, 80, wire.ProtoSCTP, Masq, 8080, 2)
	s.serve(vip6, 80, wire.ProtoTCP, Masq, 8080, 2)
	s.serveTunnels()
	all := ServiceKey{vip6, 0, wire.ProtoUDP}
	s.update(func(tx *Tx) error {
		return errors.Join(
			tx.AddService(all, ServiceSpec{Scheduler: "sh", Persistence: time.Second, Netmask: [16]byte{0xff, 0xff}}),
			tx.AddServer(all, endpoint(server6(0), 0), ServerSpec{Method: Route, Weight: 1, UpperThreshold: 3}),
			tx.AddServer(all, endpoint(server6(1), 0), ServerSpec{Method: Masq, Weight: 1}),
		)
	})
	f.Fuzz(func(t *testing.T, first, second []byte, how uint8) {
		var after uint64
		before := uint64(s.engine.fragments.waiting())
		for _, n := range s.reasons() {
			before += n
		}
		s.narrow(1500, 1500)
		if how&4 != 0 {
			s.narrow(68, 100)
		}
		frames := []Frame{
			{Data: bytes.Clone(first), Port: int(how % 2)},
			{Data: bytes.Clone(second), Vnet: make(VnetHeader, VnetLen), Port: int(how / 2 % 2)},
		}
		if how&8 != 0 { // several segments with an unfinished checksum
			frames[1].Vnet = VnetHeader{1, vnetTCPv4, 54, 0, 100, 0, 34, 0, 16, 0}
		}
		if how&16 != 0 {
			frames[0].VLAN = VLANTag{TPID: wire.EtherTypeVLAN, TCI: 7}
		}
		s.worker.Process(frames, mono.Now(), &s.worker.out)
		const tunnelHeaders = wire.IPv4Len + wire.UDPLen + wire.GUELen + wire.GUERemoteLen
		longest := max(len(first)+tunnelHeaders, len(second)+tunnelHeaders, wire.EthernetLen+quoteTotal6)
		for i := range s.worker.out.ports {
			for _, out := range s.worker.out.ports[i] {
				if len(out.Data) > longest {
					t.Fatalf("a frame of %d bytes left, want %d at the most", len(out.Data), longest)
				}
			}
		}
		s.worker.out.reset(2)
		for _, n := range s.reasons() {
			after += n
		}
		after += uint64(s.engine.fragments.waiting())
		for _, x := range s.worker.holder.frames[:s.worker.holder.used] {
			if !x.frame.made {
				after++
			}
		}
		if settled := after - before; settled != 2 {
			t.Fatalf("2 frames came in, %d were accounted for", settled)
		}
		s.worker.holder.used = 0
	})
}
