package forwarding

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// sipMessage is a datagram with a SIP message.
func sipMessage(t *testing.T, client byte, port uint16, callID string) []byte {
	t.Helper()
	src := client4.As4()
	src[3] = client
	dst := vip4.As4()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src[:], DstIP: dst[:]}
	udp := &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 5060}
	udp.SetNetworkLayerForChecksum(ip) //nolint:errcheck // the family is known to it
	text := "INVITE sip:x SIP/2.0\r\n"
	if callID != "" {
		text += "Call-ID: " + callID + "\r\n"
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	eth := &layers.Ethernet{DstMAC: outsideMAC[:], SrcMAC: gatewayMAC[:], EthernetType: layers.EthernetTypeIPv4}
	if err := gopacket.SerializeLayers(buf, options, eth, ip, udp, gopacket.Payload(text)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestCallIDPersistence: who has the same Call-ID comes to the same server, from wherever in the
// netmask; others are scheduled, and what has none opens nothing.
func TestCallIDPersistence(t *testing.T) {
	for _, onePacket := range []bool{false, true} {
		s := newSite(t)
		key := s.serve(vip4, 5060, wire.ProtoUDP, Route, 5060, 3)
		spec := ServiceSpec{Scheduler: "rr", Persistence: time.Minute, CallID: true, Together: true, OnePacket: onePacket}
		if err := s.engine.Update(func(tx *Tx) error { return tx.EditService(key, spec) }); err != nil {
			t.Fatal(err)
		}
		send := func(client byte, port uint16, callID string) string {
			out, _, reason := s.process(outside, sipMessage(t, client, port, callID), nil)
			if out == nil {
				return reason.String()
			}
			return fmt.Sprint(wire.Ethernet(out.Data).Destination())
		}
		calls := make(map[string]string)
		for round := range uint16(3) {
			for i := range uint16(3) {
				call := fmt.Sprintf("call%d@host", i)
				got := send(byte(5+round), 6000+10*round+i, call) // each time another client
				if was, known := calls[call]; known && was != got {
					t.Errorf("one-packet %t: %s went to %s, then to %s", onePacket, call, was, got)
				}
				calls[call] = got
			}
		}
		servers := make(map[string]bool)
		for _, server := range calls {
			servers[server] = true
		}
		if len(servers) != 3 {
			t.Errorf("one-packet %t: three calls met the servers %v", onePacket, calls)
		}
		if got := send(9, 7000, ""); got != "drop_no_call_id" {
			t.Errorf("one-packet %t: without Call-ID: %s", onePacket, got)
		}
		listed := make(map[string]bool)
		s.engine.flows.Each(s.now, func(e *conntrack.Entry) bool {
			if e.Template {
				listed[e.Data] = true
			}
			return true
		})
		if len(listed) != 3 || !listed["call0@host"] {
			t.Errorf("one-packet %t: the templates are of %v", onePacket, listed)
		}
	}
}
