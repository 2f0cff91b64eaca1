//go:build netns

package afpacket_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"uvs/conntrack"
	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// TestBulkThroughNAT sends 20 MB in each direction over each of four connections through an
// engine on real interfaces, over both families and from enough clients to use both workers,
// with every way to receive. Segmentation offloads are on, but for ports that cannot describe
// such frames. Nothing but the data plane runs: the VIP is nobody's, and the client has a
// static neighbour entry for it.
func TestBulkThroughNAT(t *testing.T) {
	for _, shape := range shapes() {
		t.Run(shape.String(), func(t *testing.T) { bulkThroughNAT(t, shape) })
	}
}

func bulkThroughNAT(t *testing.T, shape afpacket.Shape) {
	top := labtest.TwoArm(t, netlab.Plan{Servers: 1, NoVIP: true})
	client, director, server := top.Clients[0], top.Directors[0], top.Servers[0]
	for _, vip := range []netip.Addr{top.VIP4, top.VIP6} {
		labtest.Run(t, client, "ip", "neigh", "replace", vip.String(), "lladdr", macOf(t, director, "eth0").String(), "dev", "eth0")
	}
	if shape.Plain { // a veth hands over what its peer sends, so the peers have to segment
		for _, h := range []*netlab.Host{client, server} {
			for _, o := range []netlab.Offload{netlab.OffloadTX, netlab.OffloadTSO, netlab.OffloadGSO} {
				if err := h.SetOffload("eth0", o, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, ifname := range []string{"eth0", "eth1"} {
			if err := director.SetOffload(ifname, netlab.OffloadGRO, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	engine := startEngine(t, top, shape)

	content := make([]byte, 20<<20)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(content) //nolint:errcheck // never fails
	want := sha256.Sum256(content)
	for _, tt := range []struct {
		name        string
		vip, server netip.Addr
	}{
		{"ipv4", top.VIP4, server.Addr4("eth0")},
		{"ipv6", top.VIP6, server.Addr6("eth0")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := engine.Update(func(tx *forwarding.Tx) error {
				k := forwarding.ServiceKey{Addr: tt.vip, Port: 80, Protocol: wire.ProtoTCP}
				if err := tx.AddService(k, forwarding.ServiceSpec{Scheduler: "rr"}); err != nil {
					return err
				}
				return tx.AddServer(k, netip.AddrPortFrom(tt.server, 8080), forwarding.ServerSpec{Method: forwarding.Masq, Weight: 1})
			}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			l, err := server.Listen(ctx, "tcp", netip.AddrPortFrom(tt.server, 8080).String())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close() //nolint:errcheck // the test is over
			go echo(l)
			for i := range 4 {
				if got := exchange(ctx, t, client, netip.AddrPortFrom(tt.vip, 80), content); got != want {
					t.Errorf("connection %d: what came back differs from what was sent", i)
				}
			}
		})
	}
	for _, w := range engine.Workers() {
		info := w.Info()
		t.Logf("worker %d: %v", info.ID, info.Reasons)
		for _, p := range info.Ports {
			t.Logf("  port %d: %+v", p.Link, p.Stats)
			if p.Stats.Received == 0 {
				t.Errorf("worker %d received nothing on interface %d: the fanout does not spread clients", info.ID, p.Link)
			}
		}
	}
}

// echo returns to each client what it sends.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c) //nolint:errcheck // the client notices
			c.Close()     //nolint:errcheck // the client notices
		}()
	}
}

// exchange sends content and returns the hash of what came back.
func exchange(ctx context.Context, t *testing.T, from *netlab.Host, to netip.AddrPort, content []byte) (sum [32]byte) {
	t.Helper()
	c, err := from.DialContext(ctx, "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline) //nolint:errcheck // a TCP connection takes deadlines
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(content)
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	h := sha256.New()
	if n, err := io.Copy(h, c); err != nil || n != int64(len(content)) {
		t.Fatalf("%d of %d bytes came back: %v", n, len(content), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	return [32]byte(h.Sum(nil))
}

func macOf(t *testing.T, h *netlab.Host, ifname string) net.HardwareAddr {
	t.Helper()
	mac, err := h.MAC(ifname)
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// startEngine runs an engine with two workers on both arms of the first director.
func startEngine(t *testing.T, top *netlab.Topology, shape afpacket.Shape) *forwarding.Engine {
	t.Helper()
	director := top.Directors[0]
	e, err := forwarding.New(forwarding.Config{Workers: 2, Flows: conntrack.Config{MaxFlows: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	network := forwarding.Network{Locals: []netip.Prefix{netip.PrefixFrom(top.VIP4, 32), netip.PrefixFrom(top.VIP6, 128)}}
	ports := make([][]forwarding.Port, 2)
	vips := []netip.Addr{top.VIP4, top.VIP6}
	for _, name := range []string{"eth0", "eth1"} {
		var index int
		var group *afpacket.Group
		mac := wire.MAC(macOf(t, director, name))
		if err := director.Do(func() error {
			ifi, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			index = ifi.Index
			group, err = afpacket.Open(afpacket.Config{Link: index, MAC: mac, Workers: 2, Shape: shape, Memory: 8 << 20, VIPs: vips})
			if err != nil {
				return err
			}
			return group.Start()
		}); err != nil {
			t.Fatal(err)
		}
		for i, p := range group.Ports() {
			ports[i] = append(ports[i], p)
		}
		network.Links = append(network.Links, forwarding.Link{Index: index, MAC: mac, MTU: 1500})
		neighbour := top.Clients[0]
		if name == "eth1" {
			neighbour = top.Servers[0]
		}
		for _, p := range neighbour.Addrs("eth0") {
			network.Routes = append(network.Routes, forwarding.RouteSpec{Prefix: p.Masked(), Hops: []forwarding.HopSpec{{Link: index}}})
			network.Neighbours = append(network.Neighbours, forwarding.Neighbour{Link: index, Addr: p.Addr(), MAC: wire.MAC(macOf(t, neighbour, "eth0"))})
		}
	}
	e.SetRoutes(forwarding.NewRoutes(network))
	for i, w := range e.Workers() {
		w.SetPorts(ports[i])
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.Close() //nolint:errcheck // the test is over
	})
	return e
}
