package forwarding

import (
	"math"
	"testing"

	"uvs/internal/wire"
)

// TestVLAN follows the tag of a request and of its answer, between two arms and on one.
func TestVLAN(t *testing.T) {
	const id, other = 7, 9
	tag := func(tci uint16) VLANTag { return VLANTag{TPID: wire.EtherTypeVLAN, TCI: tci} }
	for _, tt := range []struct {
		name    string
		tag     VLANTag
		reason  Reason
		request VLANTag // towards the server, by the other link
		answer  VLANTag // towards the client
		known   bool    // the client's gateway has an entry of the kernel's
		to      wire.MAC
	}{
		{"no tag", VLANTag{}, Forwarded, VLANTag{}, VLANTag{}, true, gatewayMAC},
		{"only a priority", tag(5 << 13), Forwarded, VLANTag{}, VLANTag{}, true, gatewayMAC},
		{"an id with a device", tag(other), PassVLAN, VLANTag{}, VLANTag{}, true, wire.MAC{}},
		{"an id without a device", tag(3<<13 | id), Forwarded, VLANTag{}, tag(id), true, gatewayMAC},
		{"a neighbour that the kernel has not", tag(id), Forwarded, VLANTag{}, tag(id), false, clientMAC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
			n := siteNetwork()
			n.Links[0].VLANs = []uint16{other}
			if !tt.known {
				n.Neighbours = n.Neighbours[1:]
			}
			s.engine.SetRoutes(NewRoutes(n))
			request := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: clientMAC}.frame(t)
			out, _, reason := s.processFrame(outside, Frame{Data: request, VLAN: tt.tag})
			if reason != tt.reason {
				t.Fatalf("the request: %s, want %s", reason, tt.reason)
			}
			if tt.reason != Forwarded {
				return
			}
			if out.VLAN != tt.request {
				t.Errorf("the request left with tag %v, want %v", out.VLAN, tt.request)
			}
			answer := segment{src: endpoint(server4(0), 80), dst: endpoint(client4, 40000), protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck}.frame(t)
			out, _, reason = s.processFrame(inside, Frame{Data: answer})
			if reason != Forwarded {
				t.Fatalf("the answer: %s", reason)
			}
			if got := wire.Ethernet(out.Data).Destination(); out.VLAN != tt.answer || got != tt.to {
				t.Errorf("the answer left to %x with tag %v, want %x and %v", got, out.VLAN, tt.to, tt.answer)
			}
		})
	}
	t.Run("one arm", func(t *testing.T) {
		s := newSite(t)
		s.serve(vip4, 80, wire.ProtoTCP, Route, 80, 1)
		request := segment{src: endpoint(client4, 40000), dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn}.frame(t)
		double := VLANTag{TPID: 0x88a8, TCI: 5<<13 | id}
		out, via, reason := s.processFrame(inside, Frame{Data: request, VLAN: double})
		if reason != Forwarded || via != inside || out.VLAN != double {
			t.Errorf("%s by port %d with %v, want the tag as it came", reason, via, out)
		}
	})
}

func TestFlowLink(t *testing.T) {
	for _, s := range []station{
		{link: 1}, {link: math.MaxInt32}, {link: 1, vlan: 1}, {link: 1<<stationLinkBits - 1, vlan: 4095}, {link: 300000, vlan: 2048},
	} {
		var got station
		got.setFlowLink(s.flowLink())
		if got != s {
			t.Errorf("%+v became %#x and then %+v", s, uint32(s.flowLink()), got)
		}
	}
	large := station{link: 1 << stationLinkBits, vlan: 5}
	if got := large.flowLink(); got != 1<<stationLinkBits {
		t.Errorf("a link with a large index and a VLAN is kept as %d, want the link alone", got)
	}
}

// TestShift: what is put in front of the network header moves the offsets that are given.
func TestShift(t *testing.T) {
	gso := VnetHeader{1, 1, 66, 0, 0xb4, 0x05, 34, 0, 16, 0}
	gso.Shift(4)
	if want := (VnetHeader{1, 1, 70, 0, 0xb4, 0x05, 38, 0, 16, 0}); string(gso) != string(want) {
		t.Errorf("got %v, want %v", gso, want)
	}
	plain := make(VnetHeader, VnetLen)
	plain.Shift(4)
	if string(plain) != string(make(VnetHeader, VnetLen)) {
		t.Errorf("a header that says nothing became %v", plain)
	}
}
