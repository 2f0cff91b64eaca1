package forwarding_test

import (
	"net/netip"
	"testing"

	"uvs/conntrack"
	"uvs/forwarding"
	"uvs/forwarding/porttest"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// TestProcessFromOutside drives a worker that is not running, as tests and benchmarks of
// other packages do: ports, routes, a service, one frame in, one frame out.
func TestProcessFromOutside(t *testing.T) {
	e, err := forwarding.New(forwarding.Config{Workers: 1, Flows: conntrack.Config{MaxFlows: 10}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	w := e.Workers()[0]
	var ports []forwarding.Port
	links := []forwarding.Link{{Index: 1, MAC: wire.MAC{2, 1}, MTU: 1500}, {Index: 2, MAC: wire.MAC{2, 2}, MTU: 1500}}
	for _, l := range links {
		p, err := porttest.New(l.Index, l.MAC)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, p)
	}
	w.SetPorts(ports)
	vip, server := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("198.51.100.11")
	e.SetRoutes(forwarding.NewRoutes(forwarding.Network{
		Links:      links,
		Routes:     []forwarding.RouteSpec{{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Hops: []forwarding.HopSpec{{Link: 2}}}},
		Neighbours: []forwarding.Neighbour{{Link: 2, Addr: server, MAC: wire.MAC{2, 9}}},
		Locals:     []netip.Prefix{netip.PrefixFrom(vip, 32)},
	}))
	k := forwarding.ServiceKey{Addr: vip, Port: 53, Protocol: wire.ProtoUDP}
	if err := e.Update(func(tx *forwarding.Tx) error {
		if err := tx.AddService(k, forwarding.ServiceSpec{Scheduler: "rr"}); err != nil {
			return err
		}
		return tx.AddServer(k, netip.AddrPortFrom(server, 53), forwarding.ServerSpec{Method: forwarding.Route, Weight: 1})
	}); err != nil {
		t.Fatal(err)
	}
	frame := []byte{
		2, 1, 0, 0, 0, 0, 2, 8, 0, 0, 0, 0, 0x08, 0x00, // to us
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 203, 0, 113, 5, 192, 0, 2, 10,
		0x9c, 0x40, 0, 53, 0, 8, 0, 0,
	}
	h := wire.IPv4(frame[wire.EthernetLen : wire.EthernetLen+wire.IPv4Len])
	h.SetChecksum(wire.Checksum(h))
	var out forwarding.Batch
	for range 2 {
		w.Process([]forwarding.Frame{{Data: frame, Port: 0}}, mono.Now(), &out)
		if out.Ports() != 2 || len(out.Frames(0)) != 0 || len(out.Frames(1)) != 1 {
			t.Fatalf("of %d ports, %d and %d frames, want none and one", out.Ports(), len(out.Frames(0)), len(out.Frames(1)))
		}
		if got := wire.Ethernet(out.Frames(1)[0].Data).Destination(); got != (wire.MAC{2, 9}) {
			t.Errorf("goes to %v", got)
		}
		out.Reset()
	}
	if got := e.Flows().Len(); got != 1 {
		t.Errorf("%d flows", got)
	}
}
