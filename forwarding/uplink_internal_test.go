package forwarding

import (
	"net/netip"
	"testing"

	"uvs/internal/wire"
)

// TestReplyByUplink: answers to a client whose packets come by another link than the routes
// have for it go back by that link and to the router that sent them, and so does what the
// director itself says. Without the setting, or once the link is gone, the routes decide.
func TestReplyByUplink(t *testing.T) {
	const second = 3
	secondMAC, router := wire.MAC{2, 0, 0, 0, 0, 3}, wire.MAC{2, 0, 0, 0, 3, 1}
	build := func(t *testing.T, on bool) (*site, ServiceKey) {
		s := newSite(t)
		s.worker.SetPorts([]Port{nullPort{link: outside, mac: outsideMAC}, nullPort{link: inside, mac: insideMAC}, nullPort{link: second, mac: secondMAC}})
		s.worker.usePorts()
		n := siteNetwork()
		n.Links = append(n.Links, Link{Index: second, MAC: secondMAC, MTU: 1400})
		s.engine.SetRoutes(NewRoutes(n))
		key := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
		if err := s.engine.Update(func(tx *Tx) error { return tx.EditService(key, ServiceSpec{Scheduler: "rr", ReplyByUplink: on}) }); err != nil {
			t.Fatal(err)
		}
		return s, key
	}
	client := netip.MustParseAddrPort("203.0.113.5:40000")
	request := segment{src: client, dst: endpoint(vip4, 80), protocol: wire.ProtoTCP, flags: wire.TCPSyn, from: router}
	answer := segment{src: endpoint(server4(0), 80), dst: client, protocol: wire.ProtoTCP, flags: wire.TCPSyn | wire.TCPAck}
	check := func(t *testing.T, s *site, wantVia int, wantTo, wantFrom wire.MAC) {
		t.Helper()
		out, via, reason := s.process(inside, answer.frame(t), nil)
		if out == nil {
			t.Fatal(reason)
		}
		eth := wire.Ethernet(out.Data)
		if via != wantVia || eth.Destination() != wantTo || eth.Source() != wantFrom {
			t.Errorf("the answer leaves by %d from %x to %x, want %d from %x to %x", via, eth.Source(), eth.Destination(), wantVia, wantFrom, wantTo)
		}
	}
	t.Run("on", func(t *testing.T) {
		s, key := build(t, true)
		s.process(second, request.frame(t), nil)
		check(t, s, second, router, secondMAC)
		// The client's packets come by the first uplink now.
		request := request
		request.flags, request.from = wire.TCPAck, gatewayMAC
		s.process(outside, request.frame(t), nil)
		check(t, s, outside, gatewayMAC, outsideMAC)
		if err := s.engine.Update(func(tx *Tx) error { return tx.DeleteServer(key, endpoint(server4(0), 80)) }); err != nil {
			t.Fatal(err)
		}
		request.src, request.flags, request.from = endpoint(client.Addr(), 40001), wire.TCPSyn, router
		s.process(second, request.frame(t), nil)
		if len(s.own) != 1 || s.own[0].via != second || wire.Ethernet(s.own[0].frame.Data).Destination() != router {
			t.Errorf("that there is no server is told by %+v, want by port %d to %x", s.own, second, router)
		}
	})
	t.Run("off", func(t *testing.T) {
		s, _ := build(t, false)
		s.process(second, request.frame(t), nil)
		check(t, s, outside, gatewayMAC, outsideMAC)
	})
	t.Run("link gone", func(t *testing.T) {
		s, _ := build(t, true)
		s.process(second, request.frame(t), nil)
		s.worker.SetPorts([]Port{nullPort{link: outside, mac: outsideMAC}, nullPort{link: inside, mac: insideMAC}})
		s.worker.usePorts()
		check(t, s, outside, gatewayMAC, outsideMAC)
	})
}
