package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"uvs/config"
	"uvs/forwarding"
	"uvs/health"
	"uvs/internal/hostnet"
	"uvs/internal/vipcheck"
)

// vipConfig has servers of each method: a service of one address, a group of two, one of UDP, and one by NAT.
const vipConfig = `
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress {
        192.0.2.10/24
    }
    virtual_ipaddress_excluded {
        2001:db8::10/64
    }
}
virtual_server 192.0.2.10 80 {
    protocol TCP
    lb_kind DR
    real_server 10.0.0.1 80 {
        TCP_CHECK {
        }
    }
    real_server 10.0.0.2 80 {
        lvs_method NAT
    }
    real_server 10.0.0.3 80 {
        lvs_method TUN type gue port 6080 csum
        alpha
    }
    real_server 10.0.0.9 80 {
    }
}
virtual_server_group G {
    192.0.2.20 80
    192.0.2.21 80
    192.0.2.22 8080
}
virtual_server group G {
    protocol TCP
    lb_kind TUN
    real_server 10.0.0.1 80 {
    }
}
virtual_server 192.0.2.30 53 {
    lb_kind DR
    protocol UDP
    real_server 10.0.0.1 53 {
    }
}
virtual_server 192.0.2.40 80 {
    protocol TCP
    lb_kind NAT
    real_server 10.0.0.1 80 {
    }
}
`

// TestWithVIPChecks: who is asked for which address, and how; who is not has a note.
func TestWithVIPChecks(t *testing.T) {
	network := hostnet.NewSnapshot([]hostnet.Link{{Index: 2, Name: "eth0", Ethernet: true, Admin: true, Up: true}},
		[]hostnet.Address{{Link: 2, Prefix: netip.MustParsePrefix("10.0.0.9/24")}}, nil, nil)
	host := config.Host{Interfaces: []string{"eth0"}}
	for _, tt := range []struct {
		name  string
		of    []string // services with the word
		want  []string // "server of service asked for address by tunnel"
		notes []string
	}{
		{"none", nil, nil, nil},
		{"of one address", []string{"192.0.2.10 80"},
			[]string{"10.0.0.1 of 192.0.2.10:80 for 192.0.2.10:80", "10.0.0.3 of 192.0.2.10:80 for 192.0.2.10:80 by gue 6080 csum, alpha"},
			[]string{"x:1:32: note: check_vip leaves out server 10.0.0.9, which is this machine itself"}},
		{"of a group, whose servers have the port of their service", []string{"192.0.2.21 80", "192.0.2.20 80", "192.0.2.22 8080"},
			[]string{"10.0.0.1 of G for 192.0.2.21:80 by ipip", "10.0.0.1 of G for 192.0.2.20:80 by ipip", "10.0.0.1 of G for 192.0.2.22:8080 by ipip"}, nil},
		{"by NAT", []string{"192.0.2.40 80"}, nil,
			[]string{"x:1:32: note: check_vip checks nothing: servers by NAT need not have the virtual address; TCP_CHECK asks them"}},
		{"of UDP, and of none", []string{"192.0.2.30 53", "192.0.2.99 80"}, nil, []string{
			"x:1:32: note: check_vip checks nothing: the configuration has no such service of TCP, and servers that an operator adds have no checks",
			"x:2:32: note: check_vip checks nothing: the configuration has no such service of TCP, and servers that an operator adds have no checks",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var extra strings.Builder
			for _, s := range tt.of {
				fmt.Fprintf(&extra, "virtual_server %s { check_vip { } }\n", s)
			}
			c, findings := config.Load(fstest.MapFS{"main": {Data: []byte(vipConfig)}}, "main", config.Options{}, func(*config.File) config.Host { return host })
			x, more := config.LoadExtra(fstest.MapFS{"x": {Data: []byte(extra.String())}}, "x", config.Options{}, host)
			if findings.HasErrors() || more.HasErrors() {
				t.Fatal(findings, more)
			}
			c.Extra = x
			p := planOn(c, network)
			var got []string
			for _, s := range p.checked {
				for _, k := range s.health.Checks {
					if k.Kind != health.VIP {
						continue
					}
					line := fmt.Sprintf("%s of %s for %s", k.Delivery.Server, strings.NewReplacer("[", "", "]:tcp", "", "]:0", "").Replace(s.group), k.Target)
					if d := k.Delivery; d.Tunnel != "" {
						line += " by " + strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Tunnel, strings.TrimPrefix(fmt.Sprint(d.Port), "0"), strings.TrimPrefix(d.Checksum, "nocsum")))
					}
					if k.Alpha {
						line += ", alpha"
					}
					got = append(got, line)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("asked: %q\nwant %q", got, tt.want)
			}
			notes := slices.DeleteFunc(slices.Clone(p.notes), func(n string) bool { return !strings.Contains(n, "check_vip") })
			if !slices.Equal(notes, tt.notes) {
				t.Errorf("notes: %q\nwant %q", notes, tt.notes)
			}
			if !p.floating[netip.MustParseAddr("192.0.2.10")] || !p.floating[netip.MustParseAddr("2001:db8::10")] || len(p.floating) != 2 {
				t.Errorf("addresses of VRRP: %v", p.floating)
			}
		})
	}
}

// TestVIPOutcome: what is met says what to look for, and whose fault it is.
func TestVIPOutcome(t *testing.T) {
	check := func(tunnel string) *health.Check {
		return &health.Check{Kind: health.VIP, Target: netip.MustParseAddrPort("[2001:db8::10]:443"), Delivery: health.Delivery{Server: netip.MustParseAddr("10.0.0.1"), Tunnel: tunnel}}
	}
	refusal := &vipcheck.Refusal{From: netip.MustParseAddr("10.0.0.1"), Type: 3, Code: 1}
	for _, tt := range []struct {
		err     error
		tunnel  string
		verdict health.Verdict
		reason  health.Reason
		detail  string
	}{
		{nil, "", health.Success, health.NoReason, ""},
		{vipcheck.ErrSilent, "", health.Failure, health.ConnectTimeout,
			"the server does not answer for 2001:db8::10: is the address on its loopback (ip addr add 2001:db8::10/128 dev lo)?"},
		{vipcheck.ErrSilent, "gre", health.Failure, health.ConnectTimeout,
			"no answer for 2001:db8::10 out of the tunnel: does the server's gre device take the packets, and is the address on its loopback (ip addr add 2001:db8::10/128 dev lo)?"},
		{vipcheck.ErrRefused, "", health.Failure, health.ConnectFailed, "the server answers for 2001:db8::10, and nothing listens on port 443: connection refused"},
		{refusal, "", health.Failure, health.ConnectFailed, "asked for 2001:db8::10, 10.0.0.1 says: host unreachable"},
		{errUnresolved{netip.MustParseAddr("10.0.0.1")}, "", health.Failure, health.NetworkUnreachable, "no answer to ARP for 10.0.0.1"},
		{errUnresolved{netip.MustParseAddr("2001:db8::1")}, "", health.Failure, health.NetworkUnreachable, "no answer to neighbour discovery for 2001:db8::1"},
		{forwarding.ErrNoRoute, "", health.Failure, health.NetworkUnreachable, "no route to the server"},
		{fmt.Errorf("send: %w", syscall.ENETDOWN), "", health.Failure, health.NetworkUnreachable, "send: network is down"},
		{forwarding.ErrOwnHost, "", health.Rescheduled, health.BindFailed, "the server is this host itself"},
		{forwarding.ErrNoSource, "", health.Rescheduled, health.BindFailed, "this host has no address of its own that the server could answer to"},
		{net.ErrClosed, "", health.Rescheduled, health.NoSocket, net.ErrClosed.Error()},
	} {
		o := vipOutcome(check(tt.tunnel), tt.err)
		if o.Verdict != tt.verdict || o.Reason != tt.reason || o.Detail() != tt.detail {
			t.Errorf("%v: verdict %d, %q, %q; want %d, %q, %q", tt.err, o.Verdict, o.Reason, o.Detail(), tt.verdict, tt.reason, tt.detail)
		}
	}
}

// TestVIPWayIsWaitedFor: a server whose MAC is not known is asked for it once, and asked as soon as it is known; one that
// does not tell it is out of reach.
func TestVIPWayIsWaitedFor(t *testing.T) {
	for _, known := range []time.Duration{0, 300 * time.Millisecond, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			began, wants := time.Now(), 0
			hop := forwarding.NextHop{Link: 3, Addr: netip.MustParseAddr("10.0.0.1")}
			p := &vipProber{
				path: func(netip.Addr, health.Delivery) (forwarding.Path, error) {
					path := forwarding.Path{Hop: hop}
					if time.Since(began) >= known {
						path.Hop.Dst[0] = 2
					}
					return path, nil
				},
				resolve: func(w forwarding.Want) {
					if wants++; w != (forwarding.Want{Link: hop.Link, Addr: hop.Addr}) {
						t.Errorf("wanted %+v", w)
					}
				},
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			path, err := p.findWay(ctx, &health.Check{Kind: health.VIP})
			took := time.Since(began)
			var unresolved errUnresolved
			switch {
			case known > time.Second:
				if !errors.As(err, &unresolved) || unresolved.Addr != hop.Addr || took != time.Second || wants != 1 {
					t.Errorf("after %v: %v, %d questions", took, err, wants)
				}
			case err != nil || !path.Hop.Resolved() || took < known || took > known+resolvePoll || wants != min(1, int(known)):
				t.Errorf("known after %v: found after %v, %v, %d questions", known, took, err, wants)
			}
		})
	}
}
