package afxdp

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"testing"

	"uvs/forwarding"
	"uvs/internal/wire"
)

// unfinished returns the virtio_net_hdr of a frame whose checksum is to be completed.
func unfinished(start, offset uint16) forwarding.VnetHeader {
	v := make(forwarding.VnetHeader, forwarding.VnetLen)
	v[0] = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	binary.NativeEndian.PutUint16(v[6:], start)
	binary.NativeEndian.PutUint16(v[8:], offset)
	return v
}

// datagram returns an IPv4 UDP frame whose checksum field holds the pseudo header's sum.
func datagram(payload []byte) []byte {
	f := make([]byte, 42+len(payload))
	binary.BigEndian.PutUint16(f[12:], wire.EtherTypeIPv4)
	ip := wire.IPv4(f[14:34])
	ip[0], ip[8], ip[9] = 0x45, 64, wire.ProtoUDP
	copy(ip[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(f[34:], 1000)
	binary.BigEndian.PutUint16(f[36:], 2000)
	binary.BigEndian.PutUint16(f[38:], uint16(8+len(payload)))
	copy(f[42:], payload)
	binary.BigEndian.PutUint16(f[40:], wire.PseudoHeaderSum(ip.Source(), ip.Destination(), wire.ProtoUDP, 8+len(payload)))
	return f
}

// TestWrite: frames leave with their tag where it belongs and their checksum finished.
func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload []byte
		tag     forwarding.VLANTag
	}{
		{name: "plain", payload: []byte("hello")},
		{name: "tagged", payload: []byte("hello!"), tag: forwarding.VLANTag{TPID: wire.EtherTypeVLAN, TCI: 5<<13 | 7}},
		{name: "sum of zero", payload: zeroSum()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole := datagram(tt.payload)
			f := forwarding.Frame{Data: bytes.Clone(whole), Vnet: unfinished(34, 6), VLAN: tt.tag}
			b := make([]byte, 2048)
			n := write(b, &f)
			if n != length(&f) {
				t.Errorf("%d bytes written, length says %d", n, length(&f))
			}
			got := b[:n]
			if tt.tag.Present() {
				if tag := got[12:16]; !bytes.Equal(tag, []byte{0x81, 0x00, 0xa0, 0x07}) {
					t.Errorf("tag %x, want 8100a007", tag)
				}
				got = append(bytes.Clone(got[:12]), got[16:]...)
			}
			udp := got[34:]
			ip := wire.IPv4(got[14:34])
			sum := wire.Sum(udp, wire.PseudoHeaderSum(ip.Source(), ip.Destination(), wire.ProtoUDP, len(udp)))
			if field := binary.BigEndian.Uint16(udp[6:]); sum != 0xffff || field == 0 {
				t.Errorf("checksum %#04x is off by %#04x", field, ^sum)
			}
			copy(udp[6:8], whole[40:42])
			if !bytes.Equal(got, whole) {
				t.Errorf("other bytes than the checksum's changed:\n%x, want\n%x", got, whole)
			}
		})
	}
}

// zeroSum is a payload that brings the checksum of its datagram to zero.
func zeroSum() []byte {
	f := datagram([]byte{0, 0})
	return binary.BigEndian.AppendUint16(nil, ^wire.Sum(f[34:], 0))
}

func TestFinishable(t *testing.T) {
	data := datagram([]byte("hello"))
	for _, tt := range []struct {
		name string
		vnet forwarding.VnetHeader
		want bool
	}{
		{"no virtio_net_hdr", nil, true},
		{"in the frame", unfinished(34, 6), true},
		{"at its end", unfinished(34, uint16(len(data)-36)), true},
		{"beyond its end", unfinished(34, uint16(len(data)-35)), false},
		{"nowhere", unfinished(0, 0), false},
	} {
		if got := finishable(&forwarding.Frame{Data: data, Vnet: tt.vnet}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// BenchmarkWrite is what a UMEM over the receive ring would save of each frame.
func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{60, 1514} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			f := forwarding.Frame{Data: make([]byte, n)}
			chunk := make([]byte, 2048)
			b.ReportAllocs()
			for b.Loop() {
				write(chunk, &f)
			}
		})
	}
}
