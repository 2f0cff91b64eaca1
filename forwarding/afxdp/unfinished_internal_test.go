package afxdp

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// plainFrame makes a TCP or UDP frame with random content and no checksum.
func plainFrame(r *rand.Rand, v6 bool, protocol uint8, payload, padding int) (frame []byte, start, at int) {
	head, ends := wire.IPv4Len, wire.EthernetLen+12
	if v6 {
		head, ends = wire.IPv6Len, wire.EthernetLen+8
	}
	at = wire.UDPChecksumOffset
	if protocol == wire.ProtoTCP {
		at = wire.TCPChecksumOffset
	}
	start = wire.EthernetLen + head
	frame = make([]byte, start+20+payload+padding)
	for i := ends; i < len(frame); i++ {
		frame[i] = byte(r.Uint32())
	}
	ip := frame[wire.EthernetLen:]
	if v6 {
		binary.BigEndian.PutUint16(frame[12:], wire.EtherTypeIPv6)
		ip[0], ip[6] = 0x60, protocol
		binary.BigEndian.PutUint16(ip[4:], uint16(20+payload))
	} else {
		binary.BigEndian.PutUint16(frame[12:], wire.EtherTypeIPv4)
		ip[0], ip[9] = 0x45, protocol
		binary.BigEndian.PutUint16(ip[2:], uint16(head+20+payload))
	}
	binary.BigEndian.PutUint16(frame[start+at:], 0)
	return frame, start, at
}

// TestDescribe: a frame is said to be unfinished if its checksum is the pseudo header's sum, and
// finishing it makes it right. One that was right and only looks so stays as it was.
func TestDescribe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		v6, protocol := i&1 == 0, uint8(wire.ProtoTCP)
		if i&2 == 0 {
			protocol = wire.ProtoUDP
		}
		frame, start, at := plainFrame(r, v6, protocol, r.IntN(60), r.IntN(2)*r.IntN(9))
		_, _, pseudo, ok := transport(frame)
		if !ok {
			t.Fatalf("% x has no transport header", frame)
		}
		field := frame[start+at:]
		end := wire.EthernetLen + int(binary.BigEndian.Uint16(frame[16:]))
		if v6 {
			end = start + int(binary.BigEndian.Uint16(frame[18:]))
		}
		right := ^wire.Sum(frame[start:end], pseudo)
		if right == 0 {
			right = 0xffff
		}
		if i&4 == 0 { // have the right checksum be the pseudo header's sum, by two bytes of payload
			if end < start+24 {
				continue
			}
			frame[start+20], frame[start+21] = 0, 0
			rest := wire.Sum(frame[start:end], pseudo)
			// rest + x = ^pseudo
			binary.BigEndian.PutUint16(frame[start+20:], wire.Sum([]byte{byte(^rest >> 8), byte(^rest)}, ^pseudo))
			if right = ^wire.Sum(frame[start:end], pseudo); right != pseudo {
				t.Fatalf("the test's checksum is %#04x, want %#04x", right, pseudo)
			}
		}
		mem := make([]byte, forwarding.VnetLen)
		binary.BigEndian.PutUint16(field, pseudo)
		f := forwarding.Frame{Data: frame[:end], Vnet: describe(frame, mem)}
		if !f.Vnet.NeedsChecksum() || f.Vnet.ChecksumStart() != start || f.Vnet.ChecksumAt() != start+at {
			t.Fatalf("virtio_net_hdr %v of an unfinished frame", f.Vnet)
		}
		out := make([]byte, 2048)
		write(out, &f)
		if got := binary.BigEndian.Uint16(out[start+at:]); got != right {
			t.Fatalf("finished as %#04x, want %#04x", got, right)
		}
		binary.BigEndian.PutUint16(field, right)
		if right != pseudo && describe(frame, mem) != nil {
			t.Fatalf("a finished frame is said to be unfinished: % x", frame)
		}
	}
}

// TestDescribeRefuses: frames that are cut short, lie about their length or are of other
// protocols are left alone.
func TestDescribeRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 400 {
		frame, start, at := plainFrame(r, i&1 == 0, wire.ProtoUDP, 8, 0)
		_, _, pseudo, _ := transport(frame)
		binary.BigEndian.PutUint16(frame[start+at:], pseudo)
		switch i % 3 {
		case 0:
			frame = frame[:r.IntN(len(frame))]
		case 1:
			frame[16], frame[18] = 0xff, 0xff // lengths
		default:
			frame[20], frame[23] = wire.ProtoSCTP, wire.ProtoSCTP
		}
		if describe(frame, make([]byte, forwarding.VnetLen)) != nil {
			t.Fatalf("described: % x", frame)
		}
	}
}
