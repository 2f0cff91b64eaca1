//go:build netns

package e2e

import (
	"strconv"
	"strings"
	"time"
)

// dialects are about what is said in another way: versions, families, authentication,
// unicast, virtual MACs, other programs.
func dialects() []scenario {
	return []scenario{
		{
			name: "PASS", casts: mixed(), long: pure(), interval: slow,
			conf: []string{vi(v2, "priority 150", auth("PASS", "secret")), vi(v2, "priority 100", auth("PASS", "secret"))},
			steps: []step{
				{what: "both start", do: []act{start('a'), start('b')}, masters: "a", takes: between(0, masterDown(slow, 150))},
				{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(slow, 100)), hold: slow},
				{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(slow, 150)), hold: slow},
			},
		},
		{
			// A master goes on from the highest sequence number that it has heard. keepalived refuses a
			// lower one than its own, and says nothing until the other's has come up to it.
			name: "AH", casts: mixed(), long: pure(), interval: slow,
			conf: []string{vi(v2, "priority 150", auth("AH", "secret")), vi(v2, "priority 100", auth("AH", "secret"))},
			steps: []step{
				{what: "both start", do: []act{start('a'), start('b')}, masters: "a", takes: between(0, masterDown(slow, 150)), hold: slow},
				{what: "a is mute", do: []act{mute('a')}, masters: "b", holders: "ab", conflict: "a",
					takes: between(masterDown(slow, 100)-slow, masterDown(slow, 100)), hold: 4 * slow},
				{what: "a is heard again", do: []act{unmute('a')}, masters: "a", takes: between(0, 5*slow)},
				{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(slow, 100)), hold: slow},
			},
		},
		{
			name: "IPv6", casts: mixed(), long: pure(), interval: fast, vips: []string{"fe80::100", "2001:db8:9::100"},
			conf: []string{
				instance("VI", "eth0", 51, "fe80::100/64\n2001:db8:9::100/64", v3, "priority 150"),
				instance("VI", "eth0", 51, "fe80::100/64\n2001:db8:9::100/64", v3, "priority 100"),
			},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150)), logs: []line{
					{who: "b", text: "(VI) Master received advert from fe80::1 with higher priority 150, ours 100"},
				}},
				{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100))},
				{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(fast, 100))},
			},
		},
		unicast("unicast", "10.9.1.", vip+"/24", []string{vip}),
		unicast("unicast over IPv6", "fe80::", "fe80::100/64", []string{"fe80::100"}),
		{
			// A backup of version 3 adopts the interval of its master, but not of who is to yield.
			name: "another interval in version 3", casts: mixed(), long: pure(), interval: slow / 2,
			conf: []string{vi("version 3\n advert_int 0.5", "priority 150"), vi(v3, "priority 100")},
			steps: []step{
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(slow/2, 150))},
				{what: "b starts", do: []act{start('b')}, masters: "a", hold: 2 * time.Second},
				{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(slow/2, 100))},
				{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(slow/2, 150))},
			},
		},
		{
			// Its adverts and addresses come from another device with another MAC.
			name: "a virtual MAC", casts: mixed(), long: pure(), interval: fast,
			conf: []string{vi(v3, "priority 150"), vi(v3, "priority 100", "use_vmac")},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100))},
				{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(fast, 100))},
			},
		},
		{
			name: "a virtual MAC on both", casts: mixed(), long: pure(), interval: fast,
			conf: []string{vi(v3, "priority 150", "use_vmac"), vi(v3, "priority 100", "use_vmac")},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a freezes", do: []act{freeze('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100))},
				{what: "a thaws", do: []act{thaw('a')}, masters: "a", takes: between(0, fast)},
				{what: "a is unplugged", do: []act{unplug('a', 1)}, masters: "b", takes: silence(masterDown(fast, 100))},
				{what: "a is plugged in", do: []act{plug('a', 1)}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(fast, 100))},
			},
		},
		{
			// Peers with a MAC of their own and with the virtual one hear each other.
			name: "a virtual MAC that adverts do not use", casts: mixed(), long: pure(), interval: fast,
			conf: []string{vi(v3, "priority 150", "use_vmac", "vmac_xmit_base"), vi(v3, "priority 100", "use_vmac", "vmac_xmit_base")},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(fast, 100))},
			},
		},
		{
			name: "a virtual MAC and unicast", casts: mixed(), long: pure(), interval: fast,
			conf: []string{
				vi(v3, "priority 150", "use_vmac", "unicast_src_ip 10.9.1.1", block("unicast_peer", "10.9.1.2")),
				vi(v3, "priority 100", "use_vmac", "unicast_src_ip 10.9.1.2", block("unicast_peer", "10.9.1.1")),
			},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(fast, 100))},
			},
		},
		{
			name: "a virtual MAC over IPv6", casts: mixed(), long: pure(), interval: fast, vips: []string{"fe80::100"},
			conf: []string{
				instance("VI", "eth0", 51, "fe80::100/64", v3, "priority 150", "use_vmac"),
				instance("VI", "eth0", 51, "fe80::100/64", v3, "priority 100", "use_vmac"),
			},
			steps: []step{
				{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
				{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100))},
				{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
			},
		},
		{
			name: "FRR as a third voice", casts: []string{"ukf"}, long: []string{"uuf", "kkf"}, interval: fast,
			conf: []string{vi(v3, "priority 200"), vi(v3, "priority 100"), frr(150, 200)},
			steps: []step{
				{what: "c starts", do: []act{start('c')}, masters: "c", takes: between(0, startTimeout)},
				{what: "b starts", do: []act{start('b')}, masters: "c", hold: time.Second},
				{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 200)), logs: []line{
					{who: "a", text: "(VI) received lower priority (150) advert from 10.9.1.3 - discarding"},
				}},
				{what: "a crashes", do: []act{kill('a')}, masters: "c", holders: "a", takes: silence(masterDown(fast, 150))},
				{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 200))},
				{what: "a stops", do: []act{stop('a')}, masters: "c", takes: silence(skew(fast, 150))},
				{what: "c freezes", do: []act{freeze('c')}, masters: "b", takes: silence(masterDown(fast, 100))},
				{what: "c thaws", do: []act{thaw('c')}, masters: "c", takes: between(0, fast+masterDown(fast, 150))},
			},
		},
		{
			name: "FRR is the better one", casts: []string{"ukf"}, long: []string{"kuf"}, interval: fast,
			conf: []string{vi(v3, "priority 150"), vi(v3, "priority 100"), frr(200, 200)},
			steps: []step{
				{what: "a and b start", do: []act{start('a'), start('b')}, masters: "a", takes: between(0, masterDown(fast, 150))},
				{what: "c starts", do: []act{start('c')}, masters: "c", takes: between(0, startTimeout), logs: []line{
					{who: "a", text: "(VI) Master received advert from 10.9.1.3 with higher priority 200, ours 150"},
				}},
				{what: "c stops", do: []act{stop('c')}, masters: "a", takes: silence(skew(fast, 150))},
			},
		},
	}
}

// unicast is the same story at any kind of address.
func unicast(name, net, address string, vips []string) scenario {
	conf := func(priority, self, peer string) string {
		return instance("VI", "eth0", 51, address, v3, "priority "+priority, "unicast_src_ip "+net+self, block("unicast_peer", net+peer))
	}
	return scenario{
		name: name, casts: mixed(), long: pure(), interval: fast, vips: vips,
		conf: []string{conf("150", "1", "2"), conf("100", "2", "1")},
		steps: []step{
			{what: "b starts", do: []act{start('b')}, masters: "b", takes: after(masterDown(fast, 100))},
			{what: "a starts", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
			{what: "a crashes", do: []act{kill('a')}, masters: "b", holders: "ab", takes: silence(masterDown(fast, 100))},
			{what: "a returns", do: []act{start('a')}, masters: "a", takes: after(masterDown(fast, 150))},
			{what: "a stops", do: []act{stop('a')}, masters: "b", takes: silence(skew(fast, 100))},
		},
	}
}

// frr is a configuration of FRR's vrrpd for the same virtual router.
func frr(priority, milliseconds int) string {
	return strings.NewReplacer("PRIORITY", strconv.Itoa(priority), "INTERVAL", strconv.Itoa(milliseconds), "VIP", vip).Replace(`
interface eth0
 vrrp 51 version 3
 vrrp 51 priority PRIORITY
 vrrp 51 advertisement-interval INTERVAL
 vrrp 51 ip VIP
!
`)
}
