//go:build netns

package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// TestReloadOfManyServices: with 3000 services of two servers with a check each, a reload that
// changes nothing, one server, or all of them loses no packet of a stream through another service.
// How long they take and what memory it needs is in the log.
func TestReloadOfManyServices(t *testing.T) {
	const services, perVIP = 3000, 500
	top := labtest.TwoArm(t, netlab.Plan{Servers: 2, NoVIP: true})
	host := top.Directors[0]
	startWeb(t, top.Servers[0])
	other := startWeb(t, top.Servers[1])
	vip := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(150 + n)}) }
	// config has the stream's service and the others, whose first or all servers have a weight.
	config := func(first, all, count int) string {
		var b strings.Builder
		b.WriteString("vrrp_instance VIPS {\n interface eth0\n virtual_router_id 5\n version 3\n advert_int 0.1\n priority 255\n virtual_ipaddress {\n")
		fmt.Fprintf(&b, "  %s/24\n", top.VIP4)
		for n := range services / perVIP {
			fmt.Fprintf(&b, "  %s/32\n", vip(n))
		}
		fmt.Fprintf(&b, " }\n}\nvirtual_server %s 7 {\n lb_algo rr\n lb_kind NAT\n protocol UDP\n real_server %s 7 {\n }\n}\n", top.VIP4, top.Servers[0].Addr4("eth0"))
		for n := range count {
			fmt.Fprintf(&b, "virtual_server %s %d {\n delay_loop 5\n lb_algo wrr\n lb_kind NAT\n protocol TCP\n", vip(n/perVIP), 1000+n%perVIP)
			for i, h := range top.Servers {
				weight := all
				if n == 0 && i == 0 {
					weight = first
				}
				fmt.Fprintf(&b, " real_server %s 8080 {\n  weight %d\n  TCP_CHECK {\n   connect_timeout 5\n  }\n }\n", h.Addr4("eth0"), weight)
			}
			b.WriteString("}\n")
		}
		return b.String()
	}
	file := writeConfig(t, config(1, 1, services))
	began := time.Now()
	d := launchFile(t, host, file)
	d.waitReady()
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	judged := 0
	labtest.Eventually(t, time.Minute, func() error {
		judged = 0
		for _, s := range d.status().Services {
			for _, r := range s.Servers {
				if len(r.Checks) > 0 && r.Checks[0].State == control.CheckUp {
					judged++
				}
			}
		}
		if judged != 2*services {
			return fmt.Errorf("%d of %d servers are up", judged, 2*services)
		}
		return nil
	})
	t.Logf("all servers judged after %s; resident memory %s", time.Since(began).Round(time.Millisecond), resident(t, d))
	stop := echoStream(t, top)
	for _, step := range []struct {
		name       string
		first, all int // weights
		count      int // of services
		word       string
		want       int // lines
	}{
		{"nothing", 1, 1, services, "", 1}, // "nothing changed"
		{"one server", 5, 1, services, "changed server", 1},
		{"all servers", 7, 9, services, "changed server", 2 * services},
		{"all servers back", 1, 1, services, "changed server", 2 * services},
		{"half of the services removed", 1, 1, services / 2, "removed service", services / 2},
		{"half of the services added", 1, 1, services, "added service", services / 2},
	} {
		if err := os.WriteFile(file, []byte(config(step.first, step.all, step.count)), 0o644); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out, err := host.Run(ctx, d.bin, "reload")
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(out, step.word+" ")
		t.Logf("%s: %s, %d lines; resident memory %s", step.name, time.Since(began).Round(time.Millisecond), lines, resident(t, d))
		if lines != step.want {
			t.Errorf("%s: %d lines, want %d: %.300s", step.name, lines, step.want, out)
		}
	}
	// All that a check notices within one delay_loop and one retry, with so many commits.
	began = time.Now()
	other.stop()
	labtest.Eventually(t, time.Minute, func() error {
		if n := strings.Count(d.uvs("ipvsadm", "-S", "-n"), " -r "); n != services+1 {
			return fmt.Errorf("%d servers are in the table, want %d", n, services+1)
		}
		return nil
	})
	t.Logf("half of the servers died: all are out after %s", time.Since(began).Round(time.Millisecond))
	sent, lost := stop()
	t.Logf("the stream: %d requests, %d without a reply", sent, lost)
	if lost != 0 || sent < 1000 {
		t.Errorf("of %d requests through a service that did not change %d were lost", sent, lost)
	}
	d.stop()
}

// resident is what of a director is in memory.
func resident(t *testing.T, d *director) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.proc.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// echoStream sends a numbered datagram each millisecond from the client to UDP port 7 of the
// virtual address, which the first server answers. stop ends it and counts.
func echoStream(t *testing.T, top *netlab.Topology) (stop func() (sent, lost int)) {
	t.Helper()
	server, err := top.Servers[0].ListenPacket(t.Context(), "udp4", ":7")
	if err != nil {
		t.Fatal(err)
	}
	client, err := top.Clients[0].DialContext(t.Context(), "udp4", netip.AddrPortFrom(top.VIP4, 7).String())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		b := make([]byte, 64)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := server.WriteTo(b[:n], from); err != nil {
				t.Errorf("the echo: %v", err)
			}
		}
	})
	var mu sync.Mutex
	heard := make(map[uint64]bool)
	group.Go(func() {
		b := make([]byte, 64)
		for {
			n, err := client.Read(b)
			if err != nil {
				return
			}
			if n == 8 {
				mu.Lock()
				heard[binary.BigEndian.Uint64(b)] = true
				mu.Unlock()
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	sent := uint64(0)
	sending := make(chan struct{})
	group.Go(func() {
		defer close(sending)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := client.Write(binary.BigEndian.AppendUint64(nil, sent)); err != nil {
				t.Errorf("the stream: %v", err)
				return
			}
			sent++
		}
	})
	return func() (int, int) {
		cancel()
		<-sending
		deadline := time.After(2 * time.Second)
		for {
			mu.Lock()
			n := len(heard)
			mu.Unlock()
			if n == int(sent) {
				break
			}
			select {
			case <-deadline:
			case <-time.After(time.Millisecond):
				continue
			}
			break
		}
		if err := errors.Join(client.Close(), server.Close()); err != nil {
			t.Error(err)
		}
		group.Wait()
		return int(sent), int(sent) - len(heard)
	}
}
