//go:build netns

package hostnet_test

import (
	"net"
	"testing"

	"uvs/internal/hostnet"
	"uvs/internal/netlab/labtest"
)

// TestTransmitPath: queues and queueing discipline of an interface are what ethtool and tc say.
func TestTransmitPath(t *testing.T) {
	site := labtest.New(t)
	a, b := labtest.Host(t, site, "a"), labtest.Host(t, site, "b")
	if err := site.Connect(a, "eth0", b, "eth0"); err != nil {
		t.Fatal(err)
	}
	want := func(p hostnet.TransmitPath) {
		t.Helper()
		var got hostnet.TransmitPath
		if err := a.Do(func() error {
			ifi, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			got, err = hostnet.TransmitPathOf(ifi.Index)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got != p {
			t.Errorf("%+v, want %+v", got, p)
		}
	}
	want(hostnet.TransmitPath{Queues: 1, Qdisc: "noqueue"})
	labtest.Run(t, a, "ethtool", "-L", "eth0", "tx", "2")
	labtest.Run(t, a, "tc", "qdisc", "add", "dev", "eth0", "root", "pfifo")
	want(hostnet.TransmitPath{Queues: 2, Qdisc: "pfifo"})
	if err := a.Do(func() error {
		_, err := hostnet.TransmitPathOf(9999)
		return err
	}); err == nil {
		t.Error("an interface that is not there has a path")
	}
}
