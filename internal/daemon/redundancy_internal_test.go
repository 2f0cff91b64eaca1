package daemon

import (
	"net/netip"
	"testing"

	"uvs/internal/hostnet"
)

// TestPlaceOfAnInstance: adverts come from an address of the device that is nobody's virtual
// one, whatever comes first.
func TestPlaceOfAnInstance(t *testing.T) {
	p, _ := planVRRP(bindVRRP(t, oneInstance(`
vrrp_instance B {
 interface eth0
 virtual_router_id 8
 virtual_ipaddress {
  192.0.2.81
 }
}
`, vips), "a.conf"))
	s := hostnet.NewSnapshot([]hostnet.Link{ethernet(2, "eth0")}, []hostnet.Address{
		{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.81/32")},
		{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.80/32")},
		{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.2/24")},
	}, nil, nil)
	for _, x := range p.instances {
		if got, want := x.place(s, newLinkNames(), p.virtual).Source, netip.MustParseAddr("192.0.2.2"); got != want {
			t.Errorf("%s sends from %s, want %s", x.name, got, want)
		}
	}
}
