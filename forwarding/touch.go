package forwarding

import (
	"encoding/binary"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// touchMin is from how many frames on it pays to ask for what their flows need beforehand.
const touchMin = 4

// touchServers is from how many servers on their memory does not fit into a processor's cache, 2 MiB,
// and is worth touching.
const touchServers = 1 << 12

// touch has the memory of the frames' flows, services and servers come into the cache, for all frames
// at once: with a million flows, or thousands of services, more time is spent waiting for it than
// with all else.
func (w *Worker) touch(in []Frame) {
	flows, servers := w.engine.flows.Large(), w.engine.dests.live.Load() >= touchServers
	if len(in) < touchMin || !flows && !servers {
		return
	}
	n := 0
	for i := range in {
		if glance(in[i].Data, &w.ahead[n]) {
			w.opening[n] = servers && mayOpen(in[i].Data)
			n++
		}
	}
	switch {
	case !servers:
		w.engine.flows.Touch(w.ahead[:n], nil)
		return
	case flows:
		w.engine.flows.Touch(w.ahead[:n], &w.known)
	default:
		clear(w.known[:n]) // so few flows that their servers are in the cache as well
	}
	w.touchServers(n)
}

// touchServers has the memory of the servers of the first n tuples come into the cache: of those that
// have a flow the flow's server, of those that may open one the service and the server that it may
// pick. Each round asks for all that the next one needs, and waits for nothing.
func (w *Worker) touchServers(n int) {
	t := w.table
	for i := range n {
		if w.opening[i] = w.opening[i] && w.known[i].Gen == 0; w.opening[i] {
			k := wireKeyOf(&w.ahead[i])
			t.services.touch(&k)
		}
	}
	services, servers := w.services[:0], w.servers[:0]
	for i := range n {
		if w.opening[i] {
			if s := t.lookup(&w.ahead[i]); s != nil {
				services = append(services, s)
			}
		} else if w.known[i].Gen == 0 {
			continue
		} else if d := w.engine.dests.get(w.known[i]); d != nil {
			servers = append(servers, d)
		}
	}
	for _, s := range services {
		s.guess.Load()
	}
	for _, s := range services {
		s.roster.Load().notes.few[0].Load()
	}
	for _, s := range services {
		if d := s.expected(); d != nil {
			servers = append(servers, d)
		}
	}
	for _, d := range servers {
		d.active.Load()
	}
	for _, d := range servers {
		d.counters[w.id].connections.Load()
		w.engine.dests.get(d.id)
	}
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

// mayOpen reports whether a frame at which a glance was enough may open a flow: TCP does so by a SYN.
func mayOpen(b []byte) bool {
	ip := b[wire.EthernetLen:]
	return ip[9] != wire.ProtoTCP || len(ip) > 20+13 && ip[20+13]&wire.TCPSyn != 0
}
