//go:build netns

package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"uvs/forwarding/afxdp"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestTransmit: frames go out by AF_XDP where they may and can, status says why where they do
// not, and the traffic flows either way. Two workers share the one queue that a veth has.
func TestTransmit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		args    []string
		prepare func(t *testing.T, director *netlab.Host)
		by      func(command ...string) []string
		mode    string
		reason  string // of eth1
	}{
		{name: "auto", mode: "tpacket_v2/afxdp"},
		{name: "few rights", by: fewRights, mode: "tpacket_v2/afxdp"},
		{name: "sendmmsg", args: []string{"--transmit", "sendmmsg"}, mode: "tpacket_v2/sendmmsg"},
		{name: "queueing", prepare: func(t *testing.T, director *netlab.Host) {
			labtest.Run(t, director, "tc", "qdisc", "add", "dev", "eth1", "root", "pfifo")
		}, mode: "tpacket_v2/afxdp"},
		{name: "shaping", prepare: func(t *testing.T, director *netlab.Host) {
			labtest.Run(t, director, "tc", "qdisc", "add", "dev", "eth1", "root", "tbf", "rate", "10gbit", "burst", "1mb", "latency", "50ms")
		}, mode: "tpacket_v2/sendmmsg", reason: "no afxdp: qdisc tbf would not see the frames"},
		{name: "queue taken", prepare: func(t *testing.T, director *netlab.Host) {
			takeQueue(t, director, "eth1")
		}, mode: "tpacket_v2/sendmmsg", reason: "no afxdp: another AF_XDP socket has queue 0: device or resource busy"},
		{name: "no AF_XDP", by: func(command ...string) []string { return denied("xdp", command...) },
			mode: "tpacket_v2/sendmmsg", reason: "no afxdp: socket AF_XDP: address family not supported by protocol"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			top := receiveSite(t)
			if tc.prepare != nil {
				tc.prepare(t, top.Directors[0])
			}
			if tc.by == nil {
				tc.by = func(command ...string) []string { return command }
			}
			d := launchBy(t, top.Directors[0], tc.by, modes()[0].config(top), append(tc.args, "--workers", "2")...)
			for _, x := range d.status().Interfaces {
				if x.Name == "eth1" && (x.Mode != tc.mode || x.Reason != tc.reason) {
					t.Errorf("%s sends by %s (%s), want %s (%s)", x.Name, x.Mode, x.Reason, tc.mode, tc.reason)
				}
			}
			bothWays(t, top, d)
			d.stop()
		})
	}
}

// takeQueue has the test itself own the queue of an interface.
func takeQueue(t *testing.T, h *netlab.Host, ifname string) {
	t.Helper()
	if err := h.Do(func() error {
		ifi, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		q, err := afxdp.Open(afxdp.DefaultConfig(ifi.Index, 0, ifi.MTU))
		if err == nil {
			t.Cleanup(func() { q.Close() })
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestTransmitAgain: the queues are there for the next director at once, also after a crash,
// and for the interface when it comes back.
func TestTransmitAgain(t *testing.T) {
	t.Parallel()
	top := receiveSite(t)
	host := top.Directors[0]
	wantAFXDP := func(d *director) {
		t.Helper()
		labtest.Eventually(t, labtest.Hang, func() error { return sendsBy(d, "afxdp") })
		bothWays(t, top, d)
	}
	d := startDirector(t, host, modes()[0].config(top))
	wantAFXDP(d)
	d.kill()
	d = startDirector(t, host, modes()[0].config(top))
	wantAFXDP(d)
	for _, ifname := range []string{"eth0", "eth1"} {
		if err := host.SetDown(ifname); err != nil {
			t.Fatal(err)
		}
		if err := host.SetUp(ifname); err != nil {
			t.Fatal(err)
		}
	}
	if got := curl(t, top.Clients[0], "--retry", "5", "--retry-all-errors", url(top.VIP4, 80, "/page")); len(got) != 10*pageBytes {
		t.Errorf("%d bytes of the page after the links went down and up, want %d", len(got), 10*pageBytes)
	}
	if err := sendsBy(d, "afxdp"); err != nil {
		t.Error(err)
	}
	d.stop()
}

// sendsBy wants every interface to send in one way.
func sendsBy(d *director, by string) error {
	for _, x := range d.status().Interfaces {
		if !strings.HasSuffix(x.Mode, "/"+by) {
			return fmt.Errorf("%s sends by %s (%s)", x.Name, x.Mode, x.Reason)
		}
	}
	return nil
}
