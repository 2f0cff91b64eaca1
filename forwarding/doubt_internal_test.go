package forwarding

import (
	"net/netip"
	"testing"
	"time"

	"uvs/internal/mono"
	"uvs/internal/wire"
)

func TestDoubter(t *testing.T) {
	old, other := wire.MAC{2, 0, 0, 0, 0, 1}, wire.MAC{2, 0, 0, 0, 0, 2}
	gateway := &NextHop{Link: 3, Addr: netip.MustParseAddr("192.0.2.1"), Dst: old}
	start := mono.Time(time.Hour)
	var d doubter
	for _, step := range []struct {
		name string
		hop  *NextHop
		from wire.MAC
		link int
		at   mono.Time
		want bool
	}{
		{"the MAC that is known", gateway, old, 3, start, false},
		{"another MAC by another link", gateway, other, 4, start, false},
		{"no MAC", gateway, wire.MAC{}, 3, start, false},
		{"a hop without a MAC", &NextHop{Link: 3, Addr: gateway.Addr}, other, 3, start, false},
		{"another MAC", gateway, other, 3, start, true},
		{"again at once", gateway, other, 3, start.Add(doubtEvery - 1), false},
		{"another hop at once", &NextHop{Link: 3, Addr: netip.MustParseAddr("192.0.2.2"), Dst: old}, other, 3, start, true},
		{"again later", gateway, other, 3, start.Add(doubtEvery), true},
	} {
		if got := d.notice(step.hop, step.from, step.link, step.at); got != step.want {
			t.Errorf("%s: doubt %t, want %t", step.name, got, step.want)
		}
	}
	for i := range 2 * doubtsKept {
		d.notice(&NextHop{Link: i, Addr: gateway.Addr, Dst: old}, other, i, start.Add(doubtEvery+1))
	}
	if !d.notice(gateway, other, 3, start.Add(doubtEvery+2)) {
		t.Error("a hop that was crowded out is not doubted again")
	}
}
