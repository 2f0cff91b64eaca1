package config_test

import (
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"uvs/config"
)

// TestCheckVIPTimes: what a check_vip block does not say is as for the server's other checks: of real_server before
// virtual_server before keepalived's default. Retry 0 is a word like others.
func TestCheckVIPTimes(t *testing.T) {
	main := `virtual_server 192.0.2.1 80 {
    delay_loop 7
    connect_timeout 3
    lb_kind DR
    alpha
    real_server 10.0.0.1 80 {
        retry 4
        delay_loop 2
    }
    real_server 10.0.0.2 80 {
        warmup 9
        alpha off
    }
}
virtual_server 192.0.2.2 80 {
    lb_kind DR
    real_server 10.0.0.1 80 {
    }
}
`
	c, diags := config.Load(fstest.MapFS{"main.conf": {Data: []byte(main)}}, "main.conf", config.Options{}, onSite)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	const s = time.Second
	vip := netip.MustParseAddrPort("192.0.2.1:80")
	type times struct {
		timeout, loop time.Duration
		retry         uint32
		before        time.Duration
		warmup        time.Duration
		given, alpha  bool
		logAll        bool
	}
	servers := []*config.RealServer{&c.VirtualServers[0].RealServers[0], &c.VirtualServers[0].RealServers[1], &c.VirtualServers[1].RealServers[0]}
	for block, want := range map[string][]times{
		"": {
			{3 * s, 2 * s, 4, s, 2 * s, false, true, false}, {3 * s, 7 * s, 1, s, 9 * s, true, false, false}, {5 * s, 60 * s, 1, s, 60 * s, false, false, false},
		},
		"delay_loop 0.5\n connect_timeout 1\n retry 0\n delay_before_retry 0.2\n log_all_failures": {
			{s, s / 2, 0, s / 5, s / 2, false, true, true}, {s, s / 2, 0, s / 5, 9 * s, true, false, true}, {s, s / 2, 0, s / 5, s / 2, false, false, true},
		},
		"warmup 0\n alpha": {
			{3 * s, 2 * s, 4, s, 0, true, true, false}, {3 * s, 7 * s, 1, s, 0, true, true, false}, {5 * s, 60 * s, 1, s, 0, true, true, false},
		},
	} {
		x, lines := loadExtra("virtual_server 192.0.2.1 80 {\n check_vip {\n " + block + "\n }\n}\n")
		if len(lines) > 0 {
			t.Fatalf("%s: %v", block, lines)
		}
		for i, r := range servers {
			k := x.Services[0].CheckVIP.Of(r, vip)
			got := times{k.ConnectTimeout, k.DelayLoop, k.Retry, k.DelayBeforeRetry, k.Warmup, k.WarmupGiven, k.Alpha, k.LogAllFailures}
			if got != want[i] || k.Connect != vip || k.Pos.Line != 2 || k.Keyword() != "check_vip" {
				t.Errorf("%q, server %d: %+v to %s of line %d; want %+v", block, i, got, k.Connect, k.Pos.Line, want[i])
			}
		}
	}
}
