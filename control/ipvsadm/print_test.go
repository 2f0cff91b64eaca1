package ipvsadm_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"uvs/control/ipvsadm"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares got with testdata/name.golden.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func key(p ipvsadm.Protocol, a string) ipvsadm.Key {
	return ipvsadm.Key{Protocol: p, Addr: addr(a)}
}

// TestListing prints every trait that a service line can have. The golden file is
// ipvsadm's own listing.
func TestListing(t *testing.T) {
	services := []ipvsadm.Service{
		{
			Key: key(ipvsadm.TCP, "192.0.2.10:80"), Scheduler: "wlc", Persistent: 6 * time.Minute, MaskBits: 32,
			Servers: []ipvsadm.Server{
				{Addr: addr("198.51.100.11:80"), Method: ipvsadm.Route, Weight: 1, Active: 12, Inactive: 340},
				{Addr: addr("198.51.100.12:80"), Method: ipvsadm.Route, Active: 3},
			},
		},
		{
			Key: key(ipvsadm.TCP, "192.0.2.10:443"), Scheduler: "sh", Flags: []string{"sh-fallback", "sh-port"},
			Servers: []ipvsadm.Server{{Addr: addr("10.1.0.11:8443"), Method: ipvsadm.Masq, Weight: 100}},
		},
		{
			Key: key(ipvsadm.UDP, "192.0.2.10:53"), Scheduler: "rr", OPS: true,
			Servers: []ipvsadm.Server{{Addr: addr("203.0.113.21:53"), Method: ipvsadm.Tunnel, Weight: 1}},
		},
		{
			Key: key(ipvsadm.TCP, "[2001:db8::10]:80"), Scheduler: "rr",
			Servers: []ipvsadm.Server{{Addr: addr("[2001:db8:1::11]:80"), Method: ipvsadm.Route, Weight: 1}},
		},
		{
			Key: ipvsadm.Key{Fwmark: 7}, Scheduler: "wrr", Persistent: 10 * time.Minute, MaskBits: 24,
			Servers: []ipvsadm.Server{{Addr: addr("198.51.100.11:0"), Method: ipvsadm.Route, Weight: 2}},
		},
	}
	b := ipvsadm.AppendTitle(ipvsadm.AppendVersion(nil, 4096))
	for i := range services {
		b = services[i].Append(b, ipvsadm.Numeric{})
	}
	golden(t, "list", b)
}

func TestConnectionListing(t *testing.T) {
	const s = time.Second
	list := []ipvsadm.Connection{
		{Protocol: "TCP", State: "ESTABLISHED", Expires: 897 * s, Client: addr("203.0.113.5:51512"), Virtual: addr("192.0.2.10:80"), Server: addr("198.51.100.11:80")},
		{Protocol: "TCP", State: "FIN_WAIT", Expires: 72 * s, Client: addr("203.0.113.5:51513"), Virtual: addr("192.0.2.10:80"), Server: addr("198.51.100.11:80")},
		{Protocol: "TCP", State: "ASSURED", Expires: 358 * s, Client: addr("203.0.113.5:0"), Virtual: addr("192.0.2.10:80"), Server: addr("198.51.100.11:80")},
		{Protocol: "UDP", State: "UDP", Expires: 299 * s, Client: addr("203.0.113.9:40000"), Virtual: addr("192.0.2.10:53"), Server: addr("203.0.113.21:53")},
		{Protocol: "IP", State: "NONE", Expires: 580 * s, Client: addr("203.0.113.0:0"), Virtual: addr("0.0.0.7:0"), Server: addr("198.51.100.11:0")},
		{Protocol: "TCP", State: "ESTABLISHED", Expires: 899 * s, Client: addr("[2001:db8:9::5]:51512"), Virtual: addr("[2001:db8::10]:80"), Server: addr("[2001:db8:1::11]:80")},
	}
	b := ipvsadm.AppendConnectionTitle(nil)
	for i := range list {
		b = list[i].Append(b, ipvsadm.Numeric{})
	}
	golden(t, "connections", b)
}

// long is a Names whose hosts are longer than any column.
type long struct{}

func (long) Host(netip.Addr) string {
	return "a-host-name-of-more-than-sixty-characters.in.a.deep.domain.example.org"
}
func (long) Port(uint16, ipvsadm.Protocol) string { return "http" }

func TestListingDetails(t *testing.T) {
	server := func(a string) []ipvsadm.Server {
		return []ipvsadm.Server{{Addr: addr(a), Method: ipvsadm.Local, Weight: 65535, Active: 12345678901, Inactive: 7}}
	}
	tests := []struct {
		name    string
		service ipvsadm.Service
		names   ipvsadm.Names
		want    string
	}{
		{
			"IPv4 names are cut",
			ipvsadm.Service{Key: key(ipvsadm.TCP, "192.0.2.10:80"), Scheduler: "rr", Servers: server("198.51.100.11:80")}, long{},
			"TCP  a-host-name-of-more-than-six rr\n" +
				"  -> a-host-name-of-more-than-six Local   65535  12345678901 7         \n",
		},
		{
			"IPv6 names only at ipvsadm's buffer",
			ipvsadm.Service{Key: key(ipvsadm.UDP, "[2001:db8::10]:80"), Scheduler: "rr", Servers: server("[2001:db8::11]:80")}, long{},
			"UDP  [a-host-name-of-more-than-sixty-characters.in.a.deep.domain rr\n" +
				"  -> [a-host-name-of-more-than-sixty-characters.in.a.deep.domain Local   65535  12345678901 7         \n",
		},
		{
			"longest IPv6 address",
			ipvsadm.Service{Key: key(ipvsadm.SCTP, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"), Scheduler: "wlc"}, ipvsadm.Numeric{},
			"SCTP [2001:db8:1111:2222:3333:4444:5555:6666]:65535 wlc\n",
		},
		{
			"IPv6 persistence with mask and engine",
			ipvsadm.Service{Key: key(ipvsadm.UDP, "[2001:db8::10]:5060"), Scheduler: "rr", Persistent: time.Minute, MaskBits: 64, PE: "sip", OPS: true}, ipvsadm.Numeric{},
			"UDP  [2001:db8::10]:5060 rr persistent 60 mask 64 pe sip ops\n",
		},
		{
			"IPv6 persistence of single clients",
			ipvsadm.Service{Key: key(ipvsadm.UDP, "[2001:db8::10]:53"), Scheduler: "rr", Persistent: time.Minute, MaskBits: 128}, ipvsadm.Numeric{},
			"UDP  [2001:db8::10]:53 rr persistent 60\n",
		},
		{
			"IPv6 mark",
			ipvsadm.Service{Key: ipvsadm.Key{Fwmark: 8, IPv6: true}, Scheduler: "rr"}, ipvsadm.Numeric{},
			"FWM  8 IPv6 rr\n",
		},
		{
			"IPv4-compatible address as inet_ntop writes it",
			ipvsadm.Service{Key: key(ipvsadm.TCP, "[::192.0.2.1]:80"), Scheduler: "rr"}, ipvsadm.Numeric{},
			"TCP  [::192.0.2.1]:80 rr\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.service.Append(nil, tt.names)); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}
