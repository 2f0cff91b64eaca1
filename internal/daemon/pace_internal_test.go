package daemon

import (
	"testing"
	"time"

	"uvs/config"
	"uvs/internal/announce"
	"uvs/internal/hostnet"
)

// TestPaces: interfaces of a garp_group share a limit, others have the usual one each, and a virtual
// MAC has that of the interface below it.
func TestPaces(t *testing.T) {
	c := &config.Config{GARPGroups: []config.GARPGroup{
		{Interfaces: []string{"eth0", "eth1"}, GARPInterval: time.Second}, {Interfaces: []string{"eth2"}},
	}}
	c.Global.VRRP.GARPInterval = time.Millisecond
	s := &hostnet.Snapshot{Links: []hostnet.Link{
		{Index: 2, Name: "eth0"}, {Index: 3, Name: "eth1"}, {Index: 4, Name: "eth2"}, {Index: 5, Name: "eth3"}, {Index: 6, Name: "eth4"},
		{Index: 7, Name: "vrrp.51", Kind: "macvlan", Parent: 2}, {Index: 8, Name: "vlan7", Kind: "vlan", Parent: 2},
	}}
	p := newPaces(planPace(c))
	limit := make(map[string]*announce.Limit)
	for _, l := range s.Links {
		targets := []announce.Target{{Link: announceLink(l)}}
		p.limit(s, targets)
		limit[l.Name] = targets[0].Limit
	}
	if limit["eth0"] == nil || limit["eth1"] != limit["eth0"] || limit["vrrp.51"] != limit["eth0"] {
		t.Errorf("eth0, eth1 and vrrp.51 do not share a limit: %v", limit)
	}
	if limit["eth2"] != nil {
		t.Error("eth2 has a limit")
	}
	if limit["eth3"] == nil || limit["eth3"] == limit["eth4"] || limit["eth3"] == limit["vlan7"] {
		t.Errorf("eth3, eth4 and vlan7 have no limits of their own: %v", limit)
	}
}
