package daemon

import (
	"fmt"
	"net/netip"
	"testing"

	"uvs/conntrack"
	"uvs/forwarding"
	"uvs/health"
	"uvs/internal/table"
)

// manyServices are n services of two servers each, with a check each.
func manyServices(n int) (services []table.FileService, checks []health.Server) {
	for i := range n {
		vip := netip.AddrFrom4([4]byte{192, 0, 2, byte(i / 1000)})
		key := table.Key{Addr: vip, Port: uint16(1000 + i%1000), Protocol: table.TCP}
		s := table.FileService{Key: key, Settings: table.ServiceSettings{Scheduler: "wrr"}, Group: key.String(), Quorum: 1}
		for k := range 2 {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 7), byte(i<<1) | byte(k)}), 80)
			s.Servers = append(s.Servers, table.FileServer{Addr: addr, Settings: table.ServerSettings{Weight: 1}})
			checks = append(checks, health.Server{Key: health.Key{Service: s.Group, Server: addr.String()}, Checks: []health.Check{{Target: addr}}})
		}
		services = append(services, s)
	}
	return services, checks
}

// BenchmarkVerdict is what the verdict on one server costs, all of the table's way into the
// engine, with so many services.
func BenchmarkVerdict(b *testing.B) {
	for _, n := range []int{10, 300, 3000} {
		b.Run(fmt.Sprint(n, " services"), func(b *testing.B) {
			services, _ := manyServices(n)
			e, err := forwarding.New(forwarding.Config{Workers: 1, Flows: conntrack.Config{MaxFlows: 100}})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close() //nolint:errcheck // the test is over
			x := table.New()
			x.Load(services)
			in := effectiveOf(nil, nil)
			commit := func() {
				step := in.stepTo(x.Services(), nil)
				if err := e.Update(func(tx *forwarding.Tx) error { return step.sync(tx, fates(x, x)) }); err != nil {
					b.Fatal(err)
				}
				in = step.to
			}
			commit()
			up := false
			s := &services[n/2]
			for b.Loop() {
				x = x.Clone()
				x.Judge(table.Verdict{Group: s.Group, Server: s.Servers[0].Addr, Up: up})
				up = !up
				commit()
			}
		})
	}
}
