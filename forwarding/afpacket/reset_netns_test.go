//go:build netns

package afpacket_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// TestResetOfALostConnection: a client that goes on with a connection whose flow is over
// learns so at once, by a reset that its kernel believes.
func TestResetOfALostConnection(t *testing.T) {
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, NoVIP: true})
	client, director, server := top.Clients[0], top.Directors[0], top.Servers[0]
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		labtest.Run(t, client, "ip", "neigh", "replace", vip.String(), "lladdr", macOf(t, director, "eth0").String(), "dev", "eth0")
	}
	engine := startEngine(t, top, afpacket.Shape{Receive: afpacket.TPacketV2})
	if err := engine.SetTimeouts(time.Second, time.Second, time.Second); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ vip, server netip.Addr }{{top.VIP4, server.Addr4("eth0")}, {top.VIP6, server.Addr6("eth0")}} {
		if err := engine.Update(func(tx *forwarding.Tx) error {
			k := forwarding.ServiceKey{Addr: tt.vip, Port: 80, Protocol: wire.ProtoTCP}
			if err := tx.AddService(k, forwarding.ServiceSpec{Scheduler: "rr"}); err != nil {
				return err
			}
			return tx.AddServer(k, netip.AddrPortFrom(tt.server, 8080), forwarding.ServerSpec{Method: forwarding.Masq, Weight: 1})
		}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), labtest.Hang)
		defer cancel()
		l, err := server.Listen(ctx, "tcp", netip.AddrPortFrom(tt.server, 8080).String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // the test is over
		go echo(l)
		c, err := client.DialContext(ctx, "tcp", netip.AddrPortFrom(tt.vip, 80).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // the test is over
		buf := make([]byte, 10)
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
		labtest.Eventually(t, labtest.Hang, func() error {
			if n := engine.Flows().Len(); n != 0 {
				return fmt.Errorf("%d flows are left", n)
			}
			return nil
		})
		if _, err := c.Write([]byte("still there?")); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(labtest.Hang)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", tt.vip, err)
		}
	}
}
