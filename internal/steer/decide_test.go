package steer_test

import (
	"math/rand/v2"
	"testing"

	"uvs/internal/steer"
)

func TestRulesDrops(t *testing.T) {
	ap := addrPort
	client4, client6 := ap("203.0.113.9:5000"), ap("[2001:db8:3::9]:5000")
	vip4, vip6 := ap("198.51.100.80:80"), ap("[2001:db8:1::80]:80")
	server4, server6 := ap("192.0.2.201:80"), ap("[2001:db8:2::201]:80")
	to6 := func(exts ...ext) flow { return flow{src: client6, dst: vip6, proto: tcp, exts: exts} }
	repeat := func(n int) (list []ext) {
		for range n {
			list = append(list, ext{kind: destOpts})
		}
		return list
	}
	tests := []struct {
		name string
		flow flow
		want bool
	}{
		{"to a service", flow{src: client4, dst: vip4, proto: tcp}, true},
		{"to a service over IPv6", to6(), true},
		{"to another port of a VIP", flow{src: client4, dst: ap("198.51.100.80:81"), proto: tcp}, false},
		{"to a service's port by another protocol", flow{src: client4, dst: vip4, proto: udp}, false},
		{"to a service with every port", flow{src: client4, dst: ap("198.51.100.81:53"), proto: udp}, true},
		{"to a service with every port, port 0", flow{src: client4, dst: ap("198.51.100.81:0"), proto: udp}, true},
		{"to a service with every port by another protocol", flow{src: client4, dst: ap("198.51.100.81:53"), proto: tcp}, false},
		{"to an SCTP service", flow{src: client4, dst: ap("198.51.100.81:80"), proto: sctp}, true},
		{"to an SCTP service's port by another protocol", flow{src: client4, dst: ap("198.51.100.81:80"), proto: tcp}, false},
		{"to an SCTP service with every port over IPv6", flow{src: client6, dst: ap("[2001:db8:1::80]:36412"), proto: sctp}, true},
		{"from an SCTP server", flow{src: ap("192.0.2.202:36412"), dst: client4, proto: sctp}, true},
		{"to a data port of FTP", flow{src: client4, dst: ap("198.51.100.81:20"), proto: tcp}, true},
		{"to the first port for anybody", flow{src: client4, dst: ap("198.51.100.81:1024"), proto: tcp}, true},
		{"to the last port over IPv6", flow{src: client6, dst: ap("[2001:db8:1::81]:65535"), proto: tcp}, true},
		{"to a privileged port of an address with FTP", flow{src: client4, dst: ap("198.51.100.81:1023"), proto: tcp}, false},
		{"to a data port of an address without FTP", flow{src: client4, dst: ap("198.51.100.80:20"), proto: tcp}, false},
		{"to a data port by another protocol", flow{src: client4, dst: ap("198.51.100.81:1024"), proto: sctp}, false},
		{"to a brief service", flow{src: client4, dst: ap("198.51.100.80:1024"), proto: tcp}, true},
		{"from a brief server", flow{src: ap("192.0.2.201:1024"), dst: client4, proto: tcp}, true},
		{"from a brief server to this host", flow{src: ap("192.0.2.201:1024"), dst: ap("192.0.2.1:5000"), proto: tcp}, false},
		{"by a pattern", flow{src: ap("192.0.2.9:5000"), dst: ap("198.51.100.80:81"), proto: tcp}, true},
		{"by an earlier pattern not", flow{src: client4, dst: ap("198.51.100.80:81"), proto: tcp}, false},
		{"beyond a pattern's ports", flow{src: ap("192.0.2.9:5000"), dst: ap("198.51.100.80:20481"), proto: tcp}, false},
		{"by a pattern of another device", flow{src: client4, dst: ap("198.51.100.80:81"), proto: udp}, false},
		{"by a pattern's source", flow{src: ap("192.0.2.193:5000"), dst: ap("203.0.113.9:80"), proto: sctp}, true},
		{"by a pattern's source not", flow{src: ap("192.0.2.191:5000"), dst: ap("203.0.113.9:80"), proto: sctp}, false},
		{"by a pattern over IPv6", flow{src: server6, dst: ap("[2001:db8:1::99]:81"), proto: udp}, true},
		{"by an earlier pattern over IPv6 not", flow{src: client6, dst: ap("[2001:db8:1::99]:81"), proto: udp}, false},
		{"ping to a VIP", flow{src: client4, dst: vip4, proto: icmp}, false},
		{"with options", flow{src: client4, dst: vip4, proto: tcp, options: 40}, true},
		{"later fragment", flow{src: client4, dst: vip4, proto: tcp, fragOff: 1480}, false},

		{"from a server to a client", flow{src: server4, dst: client4, proto: tcp}, true},
		{"from a server to a client over IPv6", flow{src: server6, dst: client6, proto: tcp}, true},
		{"from a server to this host", flow{src: server4, dst: ap("192.0.2.1:5000"), proto: tcp}, false},
		{"from a server to this host over IPv6", flow{src: server6, dst: ap("[2001:db8:2::1]:5000"), proto: tcp}, false},
		{"from another port of a server", flow{src: ap("192.0.2.201:81"), dst: client4, proto: tcp}, false},
		{"from a server with every port", flow{src: ap("192.0.2.202:9"), dst: client4, proto: udp}, true},
		{"to a server", flow{src: client4, dst: server4, proto: tcp}, false},
		{"from a server to a service", flow{src: server4, dst: vip4, proto: tcp}, true},

		{"behind hop-by-hop options", to6(ext{kind: hopByHop}), true},
		{"behind every extension header", to6(ext{kind: hopByHop, more: 2}, ext{kind: destOpts}, ext{kind: routing, more: 1},
			ext{kind: fragment}, ext{kind: destOpts, more: 30}), true},
		{"behind eight extension headers", to6(repeat(8)...), true},
		{"behind nine extension headers", to6(repeat(9)...), false},
		{"first fragment over IPv6", to6(ext{kind: fragment}), true},
		{"later fragment over IPv6", to6(ext{kind: fragment, fragOff: 1448}), false},
		{"behind an authentication header", to6(ext{kind: auth}), false},
		{"behind a mobility header", to6(ext{kind: mobility}), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := tt.flow.frame(t)
			for _, frame := range []struct {
				name string
				steer.Frame
				want bool
			}{
				{"for this host", steer.Frame{Link: 1, Data: data, Host: true}, tt.want},
				{"for another host", steer.Frame{Link: 1, Data: data}, false},
				{"tagged", steer.Frame{Link: 1, Data: data, Host: true, Tagged: true}, false},
			} {
				if got := testRules().Drops(frame.Frame); got != frame.want {
					t.Errorf("%s: Drops = %v, want %v", frame.name, got, frame.want)
				}
			}
		})
	}
}

func TestRulesDropsWhenTruncated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rules := testRules()
	for range 200 {
		data := randomFlow(r, 4).frame(t)
		for n := range data {
			short := steer.Frame{Link: 1, Data: data[:n:n], Host: true}
			if rules.Drops(short) && n < 14+20+4 {
				t.Fatalf("Drops = true for %d bytes % x", n, data[:n])
			}
		}
	}
}

func FuzzRulesDrops(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		f.Add(randomFlow(r, 9).frame(f))
	}
	rules := testRules()
	f.Fuzz(func(t *testing.T, data []byte) {
		if rules.Drops(steer.Frame{Link: 1, Data: data}) {
			t.Error("Drops = true for a frame to another host")
		}
		if rules.Drops(steer.Frame{Link: 1, Data: data, Host: true}) && (steer.Rules{}).Drops(steer.Frame{Link: 1, Data: data, Host: true}) {
			t.Error("Drops = true without rules")
		}
	})
}
