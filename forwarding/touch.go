package forwarding

import (
	"encoding/binary"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// touchMin is from how many frames on it pays to ask for what their flows need beforehand.
const touchMin = 4

// touch has the memory of the frames' flows come into the cache, for all of them at once: with a
// million flows more time is spent waiting for it than with all else.
func (w *Worker) touch(in []Frame) {
	if len(in) < touchMin {
		return
	}
	n := 0
	for i := range in {
		if glance(in[i].Data, &w.ahead[n]) {
			n++
		}
	}
	w.engine.flows.Touch(w.ahead[:n])
}

// glance reads the tuple of an IPv4 frame that has it at the usual place, and checks nothing
// else: Decode does. It reports false for others; of IPv6, whose entries are on two lines and
// whose hash costs more, nothing was gained.
func glance(b []byte, tp *conntrack.Tuple) bool {
	if len(b) < wire.EthernetLen+20+4 || wire.Ethernet(b).EtherType() != wire.EtherTypeIPv4 || b[wire.EthernetLen] != 0x45 {
		return false
	}
	ip := b[wire.EthernetLen:]
	*tp = conntrack.Tuple{
		Proto:   ip[9],
		SrcPort: binary.BigEndian.Uint16(ip[20:]), DstPort: binary.BigEndian.Uint16(ip[22:]),
	}
	copy(tp.Src[:4], ip[12:16])
	copy(tp.Dst[:4], ip[16:20])
	return tp.Proto == wire.ProtoTCP || tp.Proto == wire.ProtoUDP || tp.Proto == wire.ProtoSCTP
}
