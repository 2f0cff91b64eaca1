package forwarding

import (
	"bytes"
	"testing"

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
		{src: endpoint(client6, 40000), dst: endpoint(vip6, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn},
		{src: endpoint(server6(0), 80), dst: endpoint(client6, 40000), protocol: wire.ProtoTCP, flags: wire.TCPFin},
	} {
		frames = append(frames, g.frame(f))
	}
	hopByHop := bytes.Clone(frames[4])
	hopByHop[20] = wire.ProtoHopByHop
	return append(frames, hopByHop)
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
		if p.Tuple.Proto == wire.ProtoUDP {
			need = p.l4 + wire.UDPLen
		}
		if p.l4 < wire.EthernetLen+wire.IPv4Len || need > len(frame.Data) || wire.EthernetLen+p.ipLen != len(frame.Data) {
			t.Fatalf("accepted with l4 at %d and %d IP bytes in a frame of %d", p.l4, p.ipLen, len(frame.Data))
		}
	})
}

// FuzzProcess runs arbitrary sequences of frames through a worker with services: no panic,
// one verdict for each frame, and no frame that grows.
func FuzzProcess(f *testing.F) {
	for _, b := range seedFrames(f) {
		f.Add(b, b, uint8(0))
		f.Add(b, b, uint8(1))
	}
	s := newSite(f)
	s.serve(vip4, 80, wire.ProtoTCP, Masq, 8080, 2)
	s.serve(vip4, 53, wire.ProtoUDP, Route, 53, 2)
	s.serve(vip6, 80, wire.ProtoTCP, Masq, 8080, 2)
	f.Fuzz(func(t *testing.T, first, second []byte, port uint8) {
		var before, after uint64
		for _, n := range s.reasons() {
			before += n
		}
		waiting := s.worker.holder.used
		frames := []Frame{
			{Data: bytes.Clone(first), in: int(port % 2)},
			{Data: bytes.Clone(second), Vnet: make(VnetHeader, VnetLen), in: int(port / 2 % 2)},
		}
		s.worker.Process(frames, mono.Now(), &s.worker.out)
		for i := range s.worker.out.ports {
			for _, out := range s.worker.out.ports[i] {
				if len(out.Data) > max(len(first), len(second)) {
					t.Fatalf("a frame of %d bytes left, the longest that came in had %d", len(out.Data), max(len(first), len(second)))
				}
			}
		}
		s.worker.out.reset(2)
		for _, n := range s.reasons() {
			after += n
		}
		if settled := after - before + uint64(s.worker.holder.used-waiting); settled != 2 {
			t.Fatalf("2 frames came in, %d were accounted for", settled)
		}
		s.worker.holder.used = 0
	})
}
