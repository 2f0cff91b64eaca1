package forwarding

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// MarkKey names the service of a firewall mark, which is not 0, for packets of one family. As in
// the templates of IPVS, the mark stands in the first four bytes of the address and the
// protocol is 0 (IPPROTO_IP).
func MarkKey(mark uint32, v6 bool) ServiceKey {
	var a [16]byte
	binary.BigEndian.PutUint32(a[:], mark)
	return ServiceKey{Addr: netAddr(a, v6)}
}

// Mark returns the firewall mark that names the service, 0 if its address does.
func (k ServiceKey) Mark() uint32 {
	if k.Protocol != 0 || !k.Addr.IsValid() {
		return 0
	}
	a := wireAddr(k.Addr)
	return be32(a[:])
}

// A MarkRule says which packets have a mark: those that fit all that it says. No netfilter rule
// sees the packets that a director forwards, so that it marks them itself.
type MarkRule struct {
	Mark uint32 // 0: packets that fit have none, whatever rules follow
	// Protocol is wire.ProtoTCP, wire.ProtoUDP or wire.ProtoSCTP; 0 stands for all three.
	Protocol uint8
	// Sources and Destinations are where the packet may come from and go to; none stands for
	// every address. They are unmapped and without a zone.
	Sources, Destinations []netip.Prefix
	// Ports are the destination ports; none stands for all.
	Ports []PortRange
	// Link is the index of the device that the packet came in by; 0 stands for every one.
	Link int
}

// A PortRange is all ports from First to Last.
type PortRange struct{ First, Last uint16 }

// SetMarks has packets marked by the first rule that fits from each worker's next batch on. A
// packet without a rule has no mark. Marks count for packets to the host's own addresses, as
// only those come to services. Safe for use by many goroutines.
func (e *Engine) SetMarks(rules []MarkRule) { e.marks.Store(newMarker(rules)) }

// maxExact bounds the places in the map that one rule takes.
const maxExact = 4096

// A marker finds the mark of a packet: by one lookup for rules that ask for nothing but single
// destinations, a protocol and ports, one after the other for the rest. It is immutable.
type marker struct {
	exact    map[wireKey]placedMark // by destination, port and protocol; port 0: all ports
	allPorts bool                   // some have port 0
	others   []placedRule           // in order
	hosts    hosts                  // destinations of the exact ones
}

type placedMark struct {
	place int // among all rules: the first that fits counts
	mark  uint32
}

type placedRule struct {
	placedMark
	protocol              uint8
	link                  int
	sources, destinations []wirePrefix
	ports                 []PortRange
}

// A wirePrefix is a prefix as packets have it.
type wirePrefix struct {
	addr, mask [16]byte
	v6         bool
}

func newMarker(rules []MarkRule) *marker {
	m := &marker{exact: make(map[wireKey]placedMark), hosts: make(hosts)}
	for i := range rules {
		r := &rules[i]
		at := placedMark{i, r.Mark}
		if !m.addExact(r, at) {
			m.others = append(m.others, placedRule{
				placedMark: at, protocol: r.Protocol, link: r.Link, ports: r.Ports,
				sources: wirePrefixes(r.Sources), destinations: wirePrefixes(r.Destinations),
			})
		}
	}
	return m
}

// addExact enters a rule into the map, and reports false if it asks for more than the map has.
func (m *marker) addExact(r *MarkRule, at placedMark) bool {
	if len(r.Sources) > 0 || r.Link != 0 || len(r.Destinations) == 0 ||
		slices.ContainsFunc(r.Destinations, func(p netip.Prefix) bool { return !p.IsSingleIP() }) {
		return false
	}
	protocols := []uint8{r.Protocol}
	if r.Protocol == 0 {
		protocols = []uint8{wire.ProtoTCP, wire.ProtoUDP, wire.ProtoSCTP}
	}
	ports := r.Ports
	if len(ports) == 0 {
		ports = []PortRange{{}}
	}
	n := 0
	for _, x := range ports {
		if x.First == 0 && len(r.Ports) > 0 {
			return false // the map has all ports in the place of port 0
		}
		n += int(x.Last) - int(x.First) + 1
	}
	if n*len(protocols)*len(r.Destinations) > maxExact {
		return false
	}
	for _, d := range r.Destinations {
		m.hosts.add(d.Addr())
		for _, protocol := range protocols {
			for _, x := range ports {
				for port := int(x.First); port <= int(x.Last); port++ {
					k := newWireKey(d.Addr(), uint16(port), protocol)
					if _, taken := m.exact[k]; !taken {
						m.exact[k] = at
					}
					m.allPorts = m.allPorts || port == 0
				}
			}
		}
	}
	return true
}

func wirePrefixes(list []netip.Prefix) []wirePrefix {
	out := make([]wirePrefix, len(list))
	for i, p := range list {
		x := wirePrefix{v6: p.Addr().Is6(), addr: wireAddr(p.Masked().Addr())}
		for bit := range p.Bits() {
			x.mask[bit/8] |= 0x80 >> (bit % 8)
		}
		out[i] = x
	}
	return out
}

// mark returns the mark of a packet that came in by a link, 0 if it has none.
func (m *marker) mark(t *conntrack.Tuple, link int) uint32 {
	found := placedMark{place: math.MaxInt}
	k := wireKey{addr: t.Dst, port: t.DstPort, protocol: t.Proto, v6: t.V6}
	if x, ok := m.exact[k]; ok {
		found = x
	}
	if m.allPorts {
		k.port = 0
		if x, ok := m.exact[k]; ok && x.place < found.place {
			found = x
		}
	}
	for i := range m.others {
		r := &m.others[i]
		if r.place > found.place {
			break
		}
		if r.fits(t, link) {
			return r.mark
		}
	}
	return found.mark
}

func (r *placedRule) fits(t *conntrack.Tuple, link int) bool {
	return (r.protocol == 0 || r.protocol == t.Proto) &&
		(r.link == 0 || r.link == link) &&
		(len(r.ports) == 0 || slices.ContainsFunc(r.ports, func(x PortRange) bool { return x.First <= t.DstPort && t.DstPort <= x.Last })) &&
		anyContains(r.destinations, &t.Dst, t.V6) && anyContains(r.sources, &t.Src, t.V6)
}

// anyContains reports whether an address is in one of the prefixes, or there are none.
func anyContains(list []wirePrefix, addr *[16]byte, v6 bool) bool {
	for i := range list {
		if list[i].contains(addr, v6) {
			return true
		}
	}
	return len(list) == 0
}

func (p *wirePrefix) contains(addr *[16]byte, v6 bool) bool {
	if p.v6 != v6 {
		return false
	}
	var masked [16]byte
	for i := range masked {
		masked[i] = addr[i] & p.mask[i]
	}
	return bytes.Equal(masked[:], p.addr[:])
}

// concerns reports whether packets to an address of the host's own may have a mark.
func (m *marker) concerns(addr *[16]byte, v6 bool) bool {
	if m.hosts.has(addr, v6) {
		return true
	}
	for i := range m.others {
		if anyContains(m.others[i].destinations, addr, v6) {
			return true
		}
	}
	return false
}

// serviceOf finds the service of a packet: that of its mark, else that of its destination
// (ip_vs_service_find). nil: there is none.
func (w *Worker) serviceOf(f *Frame, p *Packet) *service {
	if w.table.marked {
		if mark := w.marks.mark(&p.Tuple, w.ports[f.Port].link); mark != 0 {
			k := wireKey{v6: p.Tuple.V6}
			binary.BigEndian.PutUint32(k.addr[:], mark)
			if s := w.table.services.find(&k); s != nil {
				return s
			}
		}
	}
	return w.table.lookup(&p.Tuple)
}
