package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"uvs/internal/wire"
)

// The addresses that flows come from: client n mod clients has them, one port after the other.
const (
	clients   = 250
	firstPort = 1024
	// MaxFlows is the most flows that a stream has: each has a client's address and port.
	MaxFlows = clients * (65536 - firstPort)
)

// Sources is the prefix that all flows come from.
func Sources() netip.Prefix { return netip.MustParsePrefix("10.64.0.0/24") }

// fcsLen is the Ethernet checksum, which counts in a frame's size and is not in memory.
const fcsLen = 4

// The fixed lengths of the frames.
const (
	etherLen = 14
	ipLen    = 20
	udpLen   = 8
	tcpLen   = 20
)

// A Stream says what frames look like: UDP datagrams or TCP SYNs over IPv4, all to one
// address, from as many clients' addresses and ports as there are flows.
type Stream struct {
	Source, Next wire.MAC // of the sending interface and of the next hop
	// Target is where flow 0 goes. Flow n goes to port Target.Port() + n mod Ports.
	Target netip.AddrPort
	Ports  int // 1 or more
	SYN    bool
	// Flows is the number of flows, from 1 to MaxFlows: frame n belongs to flow n mod Flows.
	Flows int
	// Size is the length of a frame on an Ethernet in bytes, with its checksum: 64 to 1518.
	Size int
}

func (s Stream) check() error {
	switch {
	case s.Flows < 1 || s.Flows > MaxFlows:
		return fmt.Errorf("%d flows: want 1 to %d", s.Flows, MaxFlows)
	case s.Size < 64 || s.Size > 1518:
		return fmt.Errorf("frames of %d bytes: want 64 to 1518", s.Size)
	case !s.Target.Addr().Is4():
		return fmt.Errorf("target %s: want an IPv4 address", s.Target)
	case s.Ports < 1 || int(s.Target.Port())+s.Ports > 65536:
		return fmt.Errorf("%d ports from %d: want 1 or more up to 65535", s.Ports, s.Target.Port())
	}
	return nil
}

// A maker writes the frames of a stream. Only what differs between flows is written for
// each: the client's address, the ports and the two checksums.
type maker struct {
	stream   Stream
	template []byte // flow 0 with zeros in the fields that differ
	ipSum    uint16 // of the template's IP header
	l4Sum    uint16 // of the pseudo header and all behind it, without the fields that differ
	l4Check  int    // where the transport checksum is
	flow     int    // that the next frame belongs to
}

func newMaker(s Stream) (*maker, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	b := make([]byte, s.Size-fcsLen)
	ether := wire.Ethernet(b)
	ether.SetAddresses(s.Next, s.Source)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	protocol := uint8(17)
	m := &maker{stream: s, template: b, l4Check: etherLen + ipLen + 6}
	l4 := b[etherLen+ipLen:]
	if s.SYN {
		protocol, m.l4Check = 6, etherLen+ipLen+16
		l4[12], l4[13] = tcpLen/4<<4, 0x02
		binary.BigEndian.PutUint16(l4[14:], 65535)
		// A SYN has no data: what is behind the header pads the frame.
		l4 = l4[:tcpLen]
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		for i := range l4[udpLen:] {
			l4[udpLen+i] = byte(i)
		}
	}
	ip := wire.IPv4(b[etherLen:])
	ip.Init(0, 64, protocol, 0, true, len(l4))
	target := s.Target.Addr().As4()
	copy(ip.Destination(), target[:])
	copy(ip.Source(), []byte{0, 0, 0, 0})
	ip.SetChecksum(0)
	m.ipSum = wire.Sum(b[etherLen:etherLen+ipLen], 0)
	m.l4Sum = wire.Sum(l4, wire.PseudoHeaderSum(ip.Source(), ip.Destination(), protocol, len(l4)))
	return m, nil
}

// next writes the next flow's fields into a copy of the template.
func (m *maker) next(frame []byte) {
	n := m.flow
	if m.flow++; m.flow == m.stream.Flows {
		m.flow = 0
	}
	base := uint32(10)<<24 | 64<<16
	source := base + 1 + uint32(n%clients)
	from := uint16(firstPort + n/clients)
	to := m.stream.Target.Port() + uint16(n%m.stream.Ports)
	_ = frame[etherLen+ipLen+udpLen-1]
	binary.BigEndian.PutUint32(frame[etherLen+12:], source)
	binary.BigEndian.PutUint16(frame[etherLen+ipLen:], from)
	binary.BigEndian.PutUint16(frame[etherLen+ipLen+2:], to)
	address := source>>16 + source&0xffff
	binary.BigEndian.PutUint16(frame[etherLen+10:], ^fold(uint32(m.ipSum)+address))
	check := ^fold(uint32(m.l4Sum) + address + uint32(from) + uint32(to))
	if check == 0 {
		check = 0xffff // of two zeros in ones' complement UDP takes this one for "none" (RFC 768)
	}
	binary.BigEndian.PutUint16(frame[m.l4Check:], check)
}

// fold adds carries until 16 bits hold the sum.
func fold(sum uint32) uint16 {
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
