package afxdp

import (
	"encoding/binary"
	"time"

	"uvs/forwarding"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// settleTime is for how long a frame may wait in a queueing discipline and what its flow sends
// has to go the same way. fq_codel aims at 5 ms.
const settleTime = 20 * time.Millisecond

// waiting knows which flows sent a frame past the queue lately, by a hash of their
// addresses and ports: until when they have to wait in line. Two flows that meet there only
// lose the faster way.
type waiting [1024]mono.Time

func (w *waiting) mark(f *forwarding.Frame, now mono.Time) { w[place(f)] = now.Add(settleTime) }

func (w *waiting) has(f *forwarding.Frame, now mono.Time) bool { return now.Before(w[place(f)]) }

// place hashes the words that hold addresses and ports in a packet without options.
func place(f *forwarding.Frame) int {
	const v4Source, v6Source = 12, 8 // from the IP header on
	from, words := wire.EthernetLen+v4Source, 3
	if wire.Ethernet(f.Data).EtherType() == wire.EtherTypeIPv6 {
		from, words = wire.EthernetLen+v6Source, 9
	}
	h := uint32(0)
	for i := from; i < from+4*words && i+4 <= len(f.Data); i += 4 {
		h = (h ^ binary.BigEndian.Uint32(f.Data[i:])) * 0x9e3779b1
		h ^= h >> 15
	}
	return int(h % uint32(len(waiting{})))
}
