package afpacket

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"

	"uvs/conntrack"
)

// ipPacket builds the bytes that a fanout program sees: from the IP header on.
func ipPacket(src, dst netip.AddrPort) []byte {
	var b []byte
	if src.Addr().Is4() {
		b = make([]byte, 40)
		b[0] = 0x45
		copy(b[v4Source:], src.Addr().AsSlice())
		copy(b[v4Destination:], dst.Addr().AsSlice())
		binary.BigEndian.PutUint16(b[20:], src.Port())
		binary.BigEndian.PutUint16(b[22:], dst.Port())
		return b
	}
	b = make([]byte, 60)
	b[0] = 0x60
	copy(b[v6Source:], src.Addr().AsSlice())
	copy(b[v6Destination:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[40:], src.Port())
	binary.BigEndian.PutUint16(b[42:], dst.Port())
	return b
}

// TestClientHashIsTheSameBothWays runs the fanout program over a request to each VIP and
// the answer of a server, for many clients, and wants one worker for both.
func TestClientHashIsTheSameBothWays(t *testing.T) {
	var vips []netip.Addr
	for i := range maxHashVIPs + 10 {
		vips = append(vips, netip.AddrFrom4([4]byte{192, 0, byte(2 + i/250), byte(i % 250)}))
		vips = append(vips, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(i / 250), 15: byte(i % 250)}))
	}
	for _, count := range []int{2, 10, 2 * maxHashVIPs} {
		vm, err := bpf.NewVM(clientHash(vips[:count]))
		if err != nil {
			t.Fatalf("%d VIPs: %v", count, err)
		}
		workers := map[int]int{}
		for c := range 300 {
			client4 := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(c)}), uint16(30000+7*c))
			client6 := netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 4: 9, 15: byte(c)}), uint16(30000+7*c))
			server4 := netip.MustParseAddrPort("198.51.100.11:8080")
			server6 := netip.MustParseAddrPort("[2001:db8:5::11]:8080")
			for i, pair := range [][2]netip.AddrPort{{client4, server4}, {client6, server6}} {
				client, server := pair[0], pair[1]
				vip := netip.AddrPortFrom(vips[(2*c+i)%count], 80)
				request := run(t, vm, ipPacket(client, vip))
				answer := run(t, vm, ipPacket(server, client))
				if request != answer {
					t.Fatalf("%d VIPs: %s → %s hashes to %#x, its answer from %s to %#x", count, client, vip, request, server, answer)
				}
				// The flow table keeps what a worker looks up apart by the same number.
				var addr [16]byte
				copy(addr[:], client.Addr().AsSlice())
				if spread := conntrack.Spread(&addr, client.Port(), client.Addr().Is6()); request != int(spread) {
					t.Fatalf("%s hashes to %#x here and to %#x in the flow table", client, request, spread)
				}
				workers[request%2]++
			}
		}
		if workers[0] < 150 || workers[1] < 150 {
			t.Errorf("%d VIPs: 600 flows over two workers: %v, want both used about evenly", count, workers)
		}
	}
}

func TestClientHashFitsTheKernelsLimit(t *testing.T) {
	var vips []netip.Addr
	for i := range 2 * maxHashVIPs {
		vips = append(vips, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i >> 8), 15: byte(i)}))
	}
	raw, err := bpf.Assemble(clientHash(vips))
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 4096 {
		t.Errorf("the program has %d instructions, the kernel takes 4096 (BPF_MAXINSNS)", len(raw))
	}
}

func run(t *testing.T, vm *bpf.VM, packet []byte) int {
	t.Helper()
	n, err := vm.Run(packet)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
