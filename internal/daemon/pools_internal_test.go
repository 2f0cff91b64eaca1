package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"uvs/config"
	"uvs/internal/hostnet"
)

// TestWithPools: the addresses of pools go to the instance of their service's virtual address and
// onto the device in whose network they are, each once; what cannot be is named and left out.
func TestWithPools(t *testing.T) {
	pool := func(device string, ends ...string) (p config.Pool) {
		for i, a := range ends {
			p.Ranges[i/2][i%2] = netip.MustParseAddr(a)
		}
		p.Device, p.FirstPort, p.LastPort = device, 1024, 65535
		return p
	}
	service := func(addr string, p config.Pool) config.ExtraService {
		return config.ExtraService{Addr: netip.MustParseAddrPort(addr), Pool: p}
	}
	address := func(a, device string) config.Address {
		return config.Address{Prefix: netip.MustParsePrefix(a), Device: device}
	}
	network := hostnet.NewSnapshot(
		[]hostnet.Link{{Index: 2, Name: "eth0", Ethernet: true, Admin: true, Up: true}, {Index: 3, Name: "eth1", Ethernet: true, Admin: true, Up: true}},
		[]hostnet.Address{{Link: 3, Prefix: netip.MustParsePrefix("10.0.0.1/24")}, {Link: 3, Prefix: netip.MustParsePrefix("10.0.0.109/32")}}, nil, []hostnet.Route{
			{Dst: netip.MustParsePrefix("192.0.2.0/24"), Kind: hostnet.Unicast, Table: hostnet.TableMain, Hops: []hostnet.Hop{{Link: 2}}},
			{Dst: netip.MustParsePrefix("10.0.0.0/24"), Kind: hostnet.Unicast, Table: hostnet.TableMain, Hops: []hostnet.Hop{{Link: 3}}},
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Kind: hostnet.Unicast, Table: hostnet.TableMain, Hops: []hostnet.Hop{{Link: 2, Gateway: netip.MustParseAddr("192.0.2.1")}}},
		})
	for _, tt := range []struct {
		name     string
		services []config.ExtraService
		want     []string // "address device instance"
		notes    []string // parts of them
		used     []bool   // by service
	}{
		{"of an instance, beside the servers", []config.ExtraService{service("192.0.2.10:80", pool("", "10.0.0.100", "10.0.0.101"))},
			[]string{"10.0.0.100/32 eth1 A", "10.0.0.101/32 eth1 A"}, nil, []bool{true}},
		{"on a device that is named", []config.ExtraService{service("192.0.2.10:80", pool("eth0", "10.0.0.100", "10.0.0.100"))},
			[]string{"10.0.0.100/32 eth0 A"}, nil, []bool{true}},
		{"shared by services of one instance", []config.ExtraService{
			service("192.0.2.10:80", pool("", "10.0.0.100", "10.0.0.100")), service("192.0.2.11:80", pool("", "10.0.0.100", "10.0.0.101"))},
			[]string{"10.0.0.100/32 eth1 A", "10.0.0.101/32 eth1 A"}, nil, []bool{true, true}},
		{"the virtual address itself", []config.ExtraService{service("192.0.2.10:80", pool("", "192.0.2.10", "192.0.2.10"))}, nil, nil, []bool{true}},
		{"the machine's own address", []config.ExtraService{service("192.0.2.10:80", pool("", "10.0.0.1", "10.0.0.1"))},
			nil, []string{"10.0.0.1 is this machine's own address in 10.0.0.0/24"}, []bool{false}},
		{"left by an earlier run", []config.ExtraService{service("192.0.2.10:80", pool("", "10.0.0.109", "10.0.0.109"))},
			[]string{"10.0.0.109/32 eth1 A"}, nil, []bool{true}},
		{"of no instance", []config.ExtraService{service("192.0.2.99:80", pool("", "10.0.0.100", "10.0.0.100"))},
			[]string{"10.0.0.100/32 eth1 "}, nil, []bool{true}},
		{"shared by two instances", []config.ExtraService{
			service("192.0.2.10:80", pool("", "10.0.0.100", "10.0.0.100")), service("192.0.2.20:80", pool("", "10.0.0.100", "10.0.0.100"))},
			[]string{"10.0.0.100/32 eth1 A"}, []string{"10.0.0.100 belongs to vrrp_instance A, and the service to vrrp_instance B"}, []bool{true, false}},
		{"in no network of the host", []config.ExtraService{service("192.0.2.10:80", pool("", "172.16.0.1", "172.16.0.1"))},
			nil, []string{"no interface of this machine is in the network of 172.16.0.1; name one with dev"}, []bool{false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &config.Config{Instances: []config.Instance{
				{Name: "A", Addresses: []config.Address{address("192.0.2.10/24", "eth0")}, Excluded: []config.Address{address("192.0.2.11/24", "eth0")}},
				{Name: "B", Addresses: []config.Address{address("192.0.2.20/24", "eth0")}},
			}}
			c.Extra.Services = tt.services
			before := fmt.Sprintf("%+v", c)
			out, notes := withPools(c, network)
			if after := fmt.Sprintf("%+v", c); after != before {
				t.Errorf("the configuration was changed:\n%s\n%s", before, after)
			}
			var got []string
			for _, a := range translateHoldings(out).addresses {
				if line := fmt.Sprintf("%s %s %s", a.prefix, a.device, a.instance); !strings.Contains(line, "/24") {
					got = append(got, line)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("addresses %q, want %q", got, tt.want)
			}
			if len(notes) != len(tt.notes) {
				t.Fatalf("notes %q", notes)
			}
			for i := range notes {
				if !strings.Contains(notes[i], tt.notes[i]) {
					t.Errorf("note %q, want %q in it", notes[i], tt.notes[i])
				}
			}
			for i, s := range out.Extra.Services {
				if used := s.Pool != (config.Pool{}); used != tt.used[i] {
					t.Errorf("service %d uses its pool: %v, want %v", i, used, tt.used[i])
				}
			}
		})
	}
}
