package forwarding

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"uvs/internal/mono"
	"uvs/internal/wire"
)

// directSlots is how many clients that speak to servers past the services are known at the
// same time: 128 KiB. A client that loses its slot has it again with its next packet.
const directSlots = 1 << 14

// handshakeTime is for how long a server repeats its answer to a SYN (tcp_synack_retries 5
// doubles from a second: 63 s).
const handshakeTime = 64 * time.Second

// directClients remember which TCP and SCTP clients have spoken to a NAT server itself. After a
// crash this is the only difference between a server's answer to such a client, which is
// routed as the kernel would, and a segment of a connection by a service whose flow is
// lost: that one the client would refuse with a reset. Safe for use by many goroutines.
type directClients struct {
	until      mono.Time // 0: nobody asks
	handshakes mono.Time // until then, answers to a SYN count too
	seed       maphash.Seed
	slots      [directSlots]atomic.Uint64
}

// A directFlow is a connection to a server as its client sees it.
type directFlow struct {
	client, server         [16]byte
	clientPort, serverPort uint16
	protocol               uint8
	v6                     bool
}

// watch makes orphans count for a time.
func (d *directClients) watch(now mono.Time, period time.Duration) {
	d.until, d.seed = now.Add(period), maphash.MakeSeed()
	d.handshakes = now.Add(min(period, handshakeTime))
}

// note remembers the sender of a packet to a server.
func (d *directClients) note(p *Packet) {
	t := &p.Tuple
	if t.Proto == wire.ProtoUDP || p.ends() {
		return
	}
	h := d.hash(directFlow{t.Src, t.Dst, t.SrcPort, t.DstPort, t.Proto, t.V6})
	d.slots[h%directSlots].Store(h)
}

// orphan reports whether a server's packet belongs to nobody that is known. The answer to
// a SYN may overtake it, as the kernel forwards one and we the other: it is no orphan once
// none is left of the time before the crash.
func (d *directClients) orphan(p *Packet, now mono.Time) bool {
	t := &p.Tuple
	syn, ack := p.TCPFlags&wire.TCPSyn != 0, p.TCPFlags&wire.TCPAck != 0
	if t.Proto == wire.ProtoSCTP {
		ack = p.chunk == wire.SCTPInitAck
		syn = ack || p.opens()
	}
	if t.Proto == wire.ProtoUDP || syn && (!ack || now >= d.handshakes) {
		return false
	}
	h := d.hash(directFlow{t.Dst, t.Src, t.DstPort, t.SrcPort, t.Proto, t.V6})
	return d.slots[h%directSlots].Load() != h
}

func (d *directClients) hash(f directFlow) uint64 { return maphash.Comparable(d.seed, f) }
