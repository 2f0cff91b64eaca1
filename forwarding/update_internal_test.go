package forwarding

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"uvs/conntrack"
	"uvs/forwarding/sched"
	"uvs/internal/wire"
)

func TestSpecsAreChecked(t *testing.T) {
	s := newSite(t)
	k := s.serve(vip4, 80, wire.ProtoTCP, Masq, 80, 1)
	for _, tt := range []struct {
		name string
		do   func(*Tx) error
		want error
	}{
		{"flags of another scheduler", func(tx *Tx) error { return tx.EditService(k, ServiceSpec{Scheduler: "rr", Flags: sched.Third}) }, nil},
		{"unknown flags", func(tx *Tx) error { return tx.EditService(k, ServiceSpec{Scheduler: "sh", Flags: 1}) }, ErrInvalid},
		{"unknown scheduler", func(tx *Tx) error { return tx.EditService(k, ServiceSpec{Scheduler: "shh"}) }, ErrNoScheduler},
		{"thresholds", func(tx *Tx) error {
			return tx.EditServer(k, endpoint(server4(0), 80), ServerSpec{UpperThreshold: 3, LowerThreshold: 3})
		}, nil},
		{"lower above upper threshold", func(tx *Tx) error {
			return tx.EditServer(k, endpoint(server4(0), 80), ServerSpec{UpperThreshold: 3, LowerThreshold: 4})
		}, ErrRange},
		{"lower without upper threshold", func(tx *Tx) error {
			return tx.AddServer(k, endpoint(server4(1), 80), ServerSpec{LowerThreshold: 1})
		}, ErrRange},
	} {
		if err := s.engine.Update(tt.do); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if got := s.engine.Services()[0]; len(got.Servers) != 1 || got.Servers[0].Spec.UpperThreshold != 3 || got.Spec.Flags != sched.Third {
		t.Errorf("the service is %+v", got)
	}
}

// TestServicesAreInOrderOfAdding makes random transactions and compares with a list kept by
// hand. Servers are in IPVS's order, the newest first.
func TestServicesAreInOrderOfAdding(t *testing.T) {
	type model struct {
		key     ServiceKey
		servers []netip.AddrPort
	}
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		s := newSite(t)
		var want []model
		for range 60 {
			next := slices.Clone(want)
			fail := rng.IntN(4) == 0
			err := s.engine.Update(func(tx *Tx) error {
				for range 1 + rng.IntN(6) {
					k := ServiceKey{vip4, uint16(1 + rng.IntN(6)), wire.ProtoTCP}
					i := slices.IndexFunc(next, func(m model) bool { return m.key == k })
					server := endpoint(server4(rng.IntN(3)), 80)
					var err, expected error
					switch op := rng.IntN(5); {
					case op == 0:
						err = tx.AddService(k, ServiceSpec{Scheduler: "wrr"})
						if i >= 0 {
							expected = ErrServiceExists
						} else {
							next = append(next, model{key: k})
						}
					case i < 0:
						expected = ErrNoService
						err = []func() error{
							func() error { return tx.DeleteService(k) },
							func() error { return tx.EditService(k, ServiceSpec{Scheduler: "rr"}) },
							func() error { return tx.AddServer(k, server, ServerSpec{Weight: 1}) },
							func() error { return tx.EditServer(k, server, ServerSpec{Weight: 1}) },
							func() error { return tx.DeleteServer(k, server) },
						}[rng.IntN(5)]()
					case op == 1:
						err = tx.DeleteService(k)
						next = slices.Delete(slices.Clone(next), i, i+1)
					case op == 2:
						err = tx.AddServer(k, server, ServerSpec{Weight: 1})
						if slices.Contains(next[i].servers, server) {
							expected = ErrServerExists
						} else {
							next[i].servers = append([]netip.AddrPort{server}, next[i].servers...)
						}
					case op == 3:
						err = tx.DeleteServer(k, server)
						if at := slices.Index(next[i].servers, server); at < 0 {
							expected = ErrNoServer
						} else {
							next[i].servers = slices.Delete(slices.Clone(next[i].servers), at, at+1)
						}
					default:
						err = tx.EditService(k, ServiceSpec{Scheduler: "mh"})
					}
					if !errors.Is(err, expected) {
						t.Fatalf("seed %d: error %v, want %v", seed, err, expected)
					}
				}
				if fail {
					return errors.New("no")
				}
				return nil
			})
			if (err != nil) != fail {
				t.Fatal(err)
			}
			if !fail {
				want = next
			}
			var got []model
			for _, x := range s.engine.Services() {
				m := model{key: x.Key}
				for _, r := range x.Servers {
					m.servers = append(m.servers, r.Addr)
				}
				got = append(got, m)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d:\n%v, want\n%v", seed, got, want)
			}
			for p := range uint16(8) { // and packets find them
				k := ServiceKey{vip4, p, wire.ProtoTCP}
				has := slices.ContainsFunc(want, func(m model) bool { return m.key == k })
				tp := conntrack.Tuple{Dst: wireAddr(vip4), DstPort: p, Proto: wire.ProtoTCP}
				if found := s.engine.table.Load().lookup(&tp); (found != nil) != has {
					t.Fatalf("seed %d: port %d is found: %t, want %t", seed, p, found != nil, has)
				}
			}
		}
	}
}

// benchmarkSite has services with four servers each.
func benchmarkSite(b *testing.B, services int) (*site, func(int) ServiceKey) {
	s := newSite(b)
	key := func(i int) ServiceKey {
		return ServiceKey{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80, wire.ProtoTCP}
	}
	if err := s.engine.Update(func(tx *Tx) error {
		for i := range services {
			if err := tx.AddService(key(i), ServiceSpec{Scheduler: "wlc"}); err != nil {
				return err
			}
			for j := range 4 {
				addr := netip.AddrFrom4([4]byte{11, byte(j), byte(i >> 8), byte(i)})
				if err := tx.AddServer(key(i), netip.AddrPortFrom(addr, 80), ServerSpec{Weight: 1}); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return s, key
}

// BenchmarkUpdate is what one change costs beside many services: a server's weight, a
// server that goes and comes back, a service that comes and goes; and what listing costs.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1, 1000, 10000} {
		s, key := benchmarkSite(b, n)
		server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, 1, 0, 0}), 80)
		update := func(b *testing.B, change func(*Tx) error) {
			if err := s.engine.Update(change); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("weight/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				update(b, func(tx *Tx) error { return tx.EditServer(key(0), server, ServerSpec{Weight: 2}) })
			}
		})
		b.Run(fmt.Sprintf("flap/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				update(b, func(tx *Tx) error { return tx.DeleteServer(key(0), server) })
				update(b, func(tx *Tx) error { return tx.AddServer(key(0), server, ServerSpec{Weight: 1}) })
			}
		})
		b.Run(fmt.Sprintf("service/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				update(b, func(tx *Tx) error { return tx.AddService(key(n), ServiceSpec{Scheduler: "wlc"}) })
				update(b, func(tx *Tx) error { return tx.DeleteService(key(n)) })
			}
		})
		b.Run(fmt.Sprintf("list/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.engine.Services()
			}
		})
		b.Run(fmt.Sprintf("estimate/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.engine.estimate()
			}
		})
	}
}
