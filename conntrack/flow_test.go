package conntrack_test

import (
	"net/netip"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/internal/mono"
)

const (
	tcp = 6
	udp = 17
)

// start is when tests begin; any time will do.
const start = mono.Time(1000 * time.Second)

func newTable(t testing.TB, c conntrack.Config) *conntrack.Table {
	t.Helper()
	if c.MaxFlows == 0 {
		c.MaxFlows = 1000
	}
	table, err := conntrack.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func endpoint(s string) conntrack.Endpoint {
	ap := netip.MustParseAddrPort(s)
	e := conntrack.Endpoint{Port: ap.Port()}
	copy(e.Addr[:], ap.Addr().AsSlice())
	return e
}

func tuple(proto uint8, src, dst string) *conntrack.Tuple {
	s, d := endpoint(src), endpoint(dst)
	return &conntrack.Tuple{
		Src: s.Addr, Dst: d.Addr, SrcPort: s.Port, DstPort: d.Port,
		Proto: proto, V6: netip.MustParseAddrPort(src).Addr().Is6(),
	}
}

func TestFindDirections(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		proto                 uint8
		flags                 conntrack.Flags
		client, virtual, dest string
		replyFrom             string // "" if no reply must be found from dest
		strangers             [][2]string
	}{
		{
			name: "NAT reply comes from the server", proto: tcp, flags: conntrack.Masq,
			client: "203.0.113.5:40000", virtual: "192.0.2.1:80", dest: "10.0.0.2:8080",
			replyFrom: "10.0.0.2:8080",
			strangers: [][2]string{
				{"192.0.2.1:80", "203.0.113.5:40000"},
				{"10.0.0.2:8081", "203.0.113.5:40000"},
				{"10.0.0.3:8080", "203.0.113.5:40000"},
				{"10.0.0.2:8080", "203.0.113.5:40001"},
				{"203.0.113.5:40000", "10.0.0.2:8080"},
				{"203.0.113.5:40000", "192.0.2.1:81"},
				{"203.0.113.6:40000", "192.0.2.1:80"},
			},
		},
		{
			name: "direct routing reply comes from the virtual address", proto: tcp, flags: conntrack.Route | conntrack.FlagNoOutput,
			client: "203.0.113.5:40000", virtual: "192.0.2.1:80", dest: "10.0.0.2:80",
			replyFrom: "192.0.2.1:80",
			strangers: [][2]string{{"10.0.0.2:80", "203.0.113.5:40000"}},
		},
		{
			name: "IPv6 NAT", proto: udp, flags: conntrack.Masq,
			client: "[2001:db8::5]:5353", virtual: "[2001:db8:1::1]:53", dest: "[fd00::2]:1053",
			replyFrom: "[fd00::2]:1053",
			strangers: [][2]string{{"[2001:db8:1::1]:53", "[2001:db8::5]:5353"}, {"[2001:db8::6]:5353", "[2001:db8:1::1]:53"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, conntrack.Config{})
			spec := &conntrack.Spec{
				Server: conntrack.ServerID{Slot: 7, Gen: 3}, Dest: endpoint(tt.dest), Flags: tt.flags,
				MAC: [6]byte{2, 0, 0, 0, 0, 1}, Link: 12,
			}
			var f conntrack.Flow
			request := tuple(tt.proto, tt.client, tt.virtual)
			if table.Find(request, &f) {
				t.Fatal("flow found in an empty table")
			}
			if got := table.Insert(request, spec, start, &f); got != conntrack.Inserted {
				t.Fatalf("Insert = %v", got)
			}
			f.Unlock()
			if got := table.Insert(request, spec, start, &f); got != conntrack.Existed {
				t.Fatalf("second Insert = %v", got)
			}
			f.Unlock()
			for dir, tp := range map[conntrack.Dir]*conntrack.Tuple{
				conntrack.Original: request,
				conntrack.Reply:    tuple(tt.proto, tt.replyFrom, tt.client),
			} {
				if !table.Find(tp, &f) {
					t.Fatalf("%v packet does not find the flow", dir)
				}
				if f.Dir() != dir {
					t.Errorf("direction = %v, want %v", f.Dir(), dir)
				}
				if f.Client() != endpoint(tt.client) || f.Virtual() != endpoint(tt.virtual) || f.Dest() != endpoint(tt.dest) {
					t.Errorf("ends = %v %v %v", f.Client(), f.Virtual(), f.Dest())
				}
				if f.Server() != spec.Server || f.MAC() != spec.MAC || f.Link() != spec.Link || f.Flags() != tt.flags|conntrack.FlagInactive {
					t.Errorf("server %v, MAC %x, link %d, flags %#x", f.Server(), f.MAC(), f.Link(), f.Flags())
				}
				f.Unlock()
			}
			for _, s := range tt.strangers {
				if table.Find(tuple(tt.proto, s[0], s[1]), &f) {
					f.Unlock()
					t.Errorf("%s > %s finds the flow", s[0], s[1])
				}
			}
			if table.Find(tuple(tcp+udp-tt.proto, tt.client, tt.virtual), &f) {
				f.Unlock()
				t.Error("another protocol finds the flow")
			}
		})
	}
}
