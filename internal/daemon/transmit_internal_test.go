package daemon

import (
	"testing"

	"uvs/internal/hostnet"
)

func TestPlanTransmit(t *testing.T) {
	physical, veth, vlan := hostnet.Link{}, hostnet.Link{Kind: "veth"}, hostnet.Link{Kind: "vlan"}
	for _, tt := range []struct {
		name   string
		asked  string
		link   hostnet.Link
		qdisc  string
		afxdp  bool
		reason string
	}{
		{"no queueing", transmitAuto, veth, "noqueue", true, ""},
		{"several queues", transmitAuto, physical, "mq", true, ""},
		{"fair queueing", transmitAuto, physical, "fq_codel", true, ""},
		{"shaping", transmitAuto, physical, "htb", false, "no afxdp: qdisc htb would not see the frames"},
		{"on top of another", transmitAuto, vlan, "noqueue", false, "no afxdp: it is a device of kind vlan"},
		{"on top, asked for", transmitAFXDP, vlan, "htb", true, ""},
		{"loopback, asked for", transmitAFXDP, hostnet.Link{Loopback: true}, "noqueue", false, ""},
		{"not asked for", transmitSendmmsg, veth, "noqueue", false, ""},
	} {
		got, reason := planTransmit(tt.asked, tt.link, hostnet.TransmitPath{Queues: 1, Qdisc: tt.qdisc})
		if got != tt.afxdp || reason != tt.reason {
			t.Errorf("%s: %v (%s), want %v (%s)", tt.name, got, reason, tt.afxdp, tt.reason)
		}
	}
}
