package daemon

import (
	"errors"
	"slices"
	"testing"

	"uvs/internal/hostnet"
)

func TestLargeReceive(t *testing.T) {
	s := hostnet.NewSnapshot([]hostnet.Link{
		{Index: 1, Name: "lo", Loopback: true},
		{Index: 2, Name: "eth0", Ethernet: true, Master: 5, MasterKind: "bond"},
		{Index: 3, Name: "eth1", Ethernet: true, Master: 5, MasterKind: "bond"},
		{Index: 4, Name: "eth2", Ethernet: true},
		{Index: 5, Name: "bond0", Ethernet: true, Kind: "bond"},
		{Index: 6, Name: "bond0.10", Ethernet: true, Kind: "vlan", Parent: 5, VLAN: 10},
	}, nil, nil, nil)
	got := largeReceive(s, func(ifname string) ([]string, error) {
		switch ifname {
		case "eth0":
			return []string{"rx-gro"}, nil
		case "eth2":
			return nil, errors.New("it is gone")
		}
		return []string{"rx-gro", "rx-lro"}, nil
	})
	if want := []string{"eth1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: a bond that passes the switch down merges nothing itself", got, want)
	}
}
