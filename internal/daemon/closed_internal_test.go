package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"uvs/config"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
)

// TestClosedAddresses: what instances with no_accept own is closed while they own it, unless they
// are its owners by priority or somebody else accepts it as well.
func TestClosedAddresses(t *testing.T) {
	own := func(name, address string, accept bool, priority uint8) config.Instance {
		return config.Instance{Name: name, Accept: accept, Priority: priority, Addresses: []config.Address{{Prefix: netip.MustParsePrefix(address), Device: "eth0"}}}
	}
	plan := translateHoldings(&config.Config{Instances: []config.Instance{
		own("closed", "192.0.2.1/24", false, 100), own("open", "192.0.2.2/24", true, 100), own("owner", "192.0.2.3/24", false, 255),
		own("both", "192.0.2.1/32", true, 100), own("link-local", "fe80::1/64", false, 100),
	}})
	s := &hostnet.Snapshot{Links: []hostnet.Link{{Index: 7, Name: "eth0", Up: true, Ethernet: true}}}
	linkLocal := steer.ClosedAddr{Addr: netip.MustParseAddr("fe80::1"), Link: 7}
	closed := steer.ClosedAddr{Addr: netip.MustParseAddr("192.0.2.1")}
	for _, tt := range []struct {
		owners []string
		want   []steer.ClosedAddr
	}{
		{nil, nil},
		{[]string{"closed", "open", "owner", "link-local"}, []steer.ClosedAddr{closed, linkLocal}},
		{[]string{"closed", "both"}, nil},
		{[]string{"link-local"}, []steer.ClosedAddr{linkLocal}},
	} {
		t.Run(fmt.Sprint(tt.owners), func(t *testing.T) {
			h := holdings{links: newLinkNames(), plan: plan, owners: make(map[string]bool)}
			h.begin(tt.owners...)
			if got := h.closedOn(s); !slices.Equal(got, tt.want) {
				t.Errorf("closed %v, want %v", got, tt.want)
			}
		})
	}
}
