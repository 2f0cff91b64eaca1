package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"uvs/forwarding"
	"uvs/internal/ownwatch"
	"uvs/internal/steer"
	"uvs/internal/wire"
)

func TestOwnConnections(t *testing.T) {
	vip, other := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")
	g := goal{services: []steer.Match{{Addr: vip, Port: 80, Proto: wire.ProtoTCP}, {Addr: other, Proto: wire.ProtoUDP}}}
	for _, tt := range []struct {
		attempt ownwatch.Attempt
		want    string
	}{
		{ownwatch.Attempt{Protocol: wire.ProtoTCP, Dst: netip.AddrPortFrom(vip, 80)}, "[192.0.2.10]:tcp:80"},
		{ownwatch.Attempt{Protocol: wire.ProtoTCP, Dst: netip.AddrPortFrom(vip, 22)}, ""},
		{ownwatch.Attempt{Protocol: wire.ProtoUDP, Dst: netip.AddrPortFrom(vip, 80)}, ""},
		{ownwatch.Attempt{Protocol: wire.ProtoUDP, Dst: netip.AddrPortFrom(other, 53)}, "[192.0.2.11]:udp:0"},
	} {
		got := ""
		if k, ok := g.service(tt.attempt); ok {
			got = k.String()
		}
		if got != tt.want {
			t.Errorf("%v is for service %q, want %q", tt.attempt, got, tt.want)
		}
	}

	o, now := newOwnConnections(), time.Now()
	first := forwarding.ServiceKey{Addr: vip, Port: 80, Protocol: wire.ProtoTCP}
	second := forwarding.ServiceKey{Addr: other, Port: 80, Protocol: wire.ProtoTCP}
	o.note(second, now)
	o.note(first, now.Add(time.Minute))
	o.note(first, now.Add(2*time.Minute))
	if len(o.news) != 1 {
		t.Error("nobody was told")
	}
	found := o.findings(now.Add(2 * time.Minute))
	if len(found) != 2 || !strings.HasPrefix(found[0].Text, "own connection to VIP: a program on this machine sends to "+first.String()) || !found[0].Problem {
		t.Errorf("found %+v, want a problem for each service, in order", found)
	}
	if found := o.findings(now.Add(ownKept)); len(found) != 1 || !strings.Contains(found[0].Text, first.String()) {
		t.Errorf("after %s: %+v, want what was seen since", ownKept, found)
	}
}
