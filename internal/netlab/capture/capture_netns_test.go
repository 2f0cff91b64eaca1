//go:build netns

package capture_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
)

// payloads returns the UDP payloads of packets.
func payloads(ps []gopacket.Packet) (texts []string) {
	for _, p := range ps {
		if udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok {
			texts = append(texts, string(udp.Payload))
		}
	}
	return texts
}

func TestCaptureLosesNothing(t *testing.T) {
	netlab.Require(t)
	top := labtest.OneArm(t, netlab.Plan{Servers: 1})
	client, server := top.Clients[0], top.Servers[0]
	sent := labtest.Capture(t, client, "eth0", "udp port 9")
	received := labtest.Capture(t, server, "eth0", "udp dst port 9")
	everything := labtest.Capture(t, top.ClientNet.Host, "br0", "")

	labtest.Run(t, client, "ping", "-n", "-c", "1", server.Addr4("eth0").String()) // resolves the neighbour
	dst := fmt.Sprintf("%s:9", server.Addr4("eth0"))
	sink, err := server.ListenPacket(t.Context(), "udp", dst)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	conn, err := client.DialContext(t.Context(), "udp", dst)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const packets = 5000
	var want []string
	for i := range packets {
		want = append(want, fmt.Sprintf("packet %d", i))
		if _, err := conn.Write([]byte(want[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := received.Sync(); err != nil {
		t.Fatal(err)
	}
	if got, err := received.Packets(); err != nil || len(got) != packets {
		t.Errorf("after Sync %d packets, want %d (%v)", len(got), packets, err)
	}
	for name, c := range map[string]interface {
		Stop() ([]gopacket.Packet, error)
	}{"client": sent, "server": received} {
		got, err := c.Stop()
		if err != nil {
			t.Fatal(err)
		}
		if texts := payloads(got); !slices.Equal(texts, want) {
			t.Errorf("%s: %d datagrams, want all %d in order", name, len(texts), packets)
		}
		if len(got) != packets {
			t.Errorf("%s: %d packets match the filter, want %d", name, len(got), packets)
		}
		if ts := got[0].Metadata().Timestamp; time.Since(ts) > time.Hour {
			t.Errorf("%s: first packet at %v", name, ts)
		}
	}
	again, err := sent.Stop()
	if err != nil || len(payloads(again)) == 0 {
		t.Errorf("second Stop = %d packets, %v", len(again), err)
	}

	if err := top.ClientNet.SetDown("br0"); err != nil {
		t.Fatal(err)
	}
	if _, err := everything.Stop(); err != nil {
		t.Errorf("Stop on an interface that went down: %v", err)
	}
}
