package forwarding

import (
	"fmt"
	"net/netip"
	"testing"

	"uvs/internal/wire"
)

// TestDirectory: services are found by their keys and by no others, in one or two steps, whether they
// are ports of an address, or addresses one after the other, of each family.
func TestDirectory(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  func(i int) ServiceKey
	}{
		{"ports", func(i int) ServiceKey { return ServiceKey{vip4, uint16(i), wire.ProtoTCP} }},
		{"addresses", func(i int) ServiceKey {
			return ServiceKey{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80, wire.ProtoTCP}
		}},
		{"protocols of ports", func(i int) ServiceKey {
			return ServiceKey{vip4, uint16(i / 2), []uint8{wire.ProtoTCP, wire.ProtoUDP}[i%2]}
		}},
		{"addresses of IPv6", func(i int) ServiceKey {
			a := vip6.As16()
			a[14], a[15] = byte(i>>8), byte(i)
			return ServiceKey{netip.AddrFrom16(a), 80, wire.ProtoTCP}
		}},
		{"networks of IPv6", func(i int) ServiceKey {
			a := vip6.As16()
			a[6], a[7] = byte(i>>8), byte(i)
			return ServiceKey{netip.AddrFrom16(a), 80, wire.ProtoTCP}
		}},
		{"marks", func(i int) ServiceKey { return MarkKey(uint32(1+i), i%2 == 0) }},
	} {
		for _, n := range []int{0, 1, 2, 3, 10_000} {
			t.Run(fmt.Sprint(tt.name, " ", n), func(t *testing.T) {
				list := make([]*service, n)
				for i := range list {
					list[i] = &service{key: tt.key(i)}
				}
				d := newDirectory(list)
				steps := 0
				for i := range 2 * n {
					k := tt.key(i)
					at := newWireKey(k.Addr, k.Port, k.Protocol)
					var want *service
					if i < n {
						want = list[i]
					}
					if got := d.find(&at); got != want {
						t.Fatalf("%s: found %v, want %v", k, got, want)
					}
					for j := d.home(&at); d.slots[j].service.Load() != want; j = (j + 1) % len(d.slots) {
						steps++
					}
				}
				if steps > 2*n {
					t.Errorf("%d steps beyond the first for %d searches", steps, 2*n)
				}
			})
		}
	}
}
