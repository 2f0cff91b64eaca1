package daemon

import (
	"strings"
	"testing"

	"uvs/internal/hostnet"
)

// TestPlanReceive: frames come in by AF_XDP where they can, within the memory, and the reason
// is told where they do not.
func TestPlanReceive(t *testing.T) {
	for _, tt := range []struct {
		name           string
		link           hostnet.Link
		queues, memory int
		want           int
		reason         string
	}{
		{"network card", hostnet.Link{MTU: 1500}, 4, 64 << 20, 4096, ""},
		{"little memory", hostnet.Link{MTU: 1500}, 4, 1 << 20, 128, ""},
		{"veth", hostnet.Link{MTU: 1500, Kind: "veth"}, 1, 6 << 20, 2048, ""},
		{"larger frames", hostnet.Link{MTU: 3000}, 1, 6 << 20, 1024, ""},
		{"jumbo frames", hostnet.Link{MTU: 9000}, 1, 64 << 20, 0, "its MTU is above 3826"},
		{"bond", hostnet.Link{MTU: 1500, Kind: "bond"}, 1, 64 << 20, 0, "it is a device of kind bond"},
		{"many queues", hostnet.Link{MTU: 1500}, 64, 4 << 20, 0, "64 queues do not fit 4.0 MiB; give more with --ring-memory"},
		{"loopback", hostnet.Link{MTU: 65536, Loopback: true}, 1, 64 << 20, 0, ""},
	} {
		got, reason := planReceive(tt.link, tt.queues, tt.memory)
		if got != tt.want || strings.TrimPrefix(reason, "nothing comes in by afxdp: ") != tt.reason {
			t.Errorf("%s: %d frames (%s), want %d (%s)", tt.name, got, reason, tt.want, tt.reason)
		}
	}
}

// TestHiddenTags: a veth with a VLAN device on it must not be diverted, as XDP does not see
// which frames are that device's.
func TestHiddenTags(t *testing.T) {
	veth := hostnet.Link{Index: 3, Name: "eth0", Kind: "veth"}
	for _, tt := range []struct {
		name  string
		other hostnet.Link
		want  string
	}{
		{"nothing on it", hostnet.Link{Index: 4, Name: "x", Kind: "vlan", Parent: 5}, ""},
		{"a macvlan on it", hostnet.Link{Index: 4, Name: "x", Kind: "macvlan", Parent: 3}, ""},
		{"a VLAN on it", hostnet.Link{Index: 4, Name: "eth0.7", Kind: "vlan", Parent: 3}, "nothing comes in by afxdp: XDP does not see tags on a veth, and eth0.7 is on it"},
	} {
		s := &hostnet.Snapshot{Links: []hostnet.Link{veth, tt.other}}
		if got := hiddenTags(veth, s); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
