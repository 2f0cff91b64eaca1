//go:build netns

package e2e

import (
	"fmt"

	"uvs/internal/netlab/labtest"
)

// startFRR runs zebra and vrrpd from the host's private /run, as the user of Debian's
// package. vrrpd wants the device of the virtual MAC to be there, with the address on it, and
// zebra to set it up.
func (x *player) startFRR(p *play) {
	p.t.Helper()
	const programs, run = "/usr/lib/frr/", "/run/frr"
	labtest.Run(p.t, x.host, "sh", "-ec", `
ip link add vrrp51 link eth0 type macvlan mode bridge
ip link set vrrp51 address 00:00:5e:00:01:33
ip addr add `+vip+`/24 dev vrrp51
ip link set vrrp51 up
install -d -o frr -g frr `+run+`
install -o frr -g frr -m 640 `+x.file+" "+run+`/vrrpd.conf
install -o frr -g frr -m 640 /dev/null `+run+`/zebra.conf`)
	zebra := labtest.Start(p.t, x.host, "nice", "-n", "-15", programs+"zebra", "-f", run+"/zebra.conf", "-A", "127.0.0.1", "--log", "stdout")
	labtest.Eventually(p.t, startTimeout, func() error {
		if out, err := x.host.Run(p.t.Context(), "test", "-S", run+"/zserv.api"); err != nil {
			return fmt.Errorf("zebra has no socket yet: %s%s", out, zebra.Output())
		}
		return nil
	})
	x.procs = append(x.procs, labtest.Start(p.t, x.host, "nice", "-n", "-15", programs+"vrrpd", "-f", run+"/vrrpd.conf", "-A", "127.0.0.1", "--log", "stdout"))
}
