package forwarding

import "uvs/internal/wire"

// untag decides about a tagged frame, and reports false if it belongs to the device of its
// VLAN. A tag that carries only a priority is taken off, as the kernel does; any other one
// stays with the frame (__netif_receive_skb_core in net/core/dev.c, which gives frames of a
// VLAN without a device to nobody).
func (w *Worker) untag(f *Frame) bool {
	id := f.VLAN.ID()
	if id == 0 {
		f.VLAN = VLANTag{}
		return true
	}
	return !w.routes.ownsVLAN(w.ports[f.Port].link, id)
}

// A station is where a flow's request came from: the neighbour, the link and the VLAN.
type station struct {
	mac  wire.MAC
	link int
	vlan uint16 // 0: untagged
}

// stationLinkBits is how much of a flow's link number the interface index takes when a VLAN
// id stands above it. Indexes only grow, but seldom to half a million.
const stationLinkBits = 19

// flowLink packs link and VLAN into what a flow remembers: a plain index, or a negative
// number with the id above the index. A VLAN on an interface with a larger index is
// forgotten.
func (s *station) flowLink() int32 {
	if s.vlan == 0 || s.link >= 1<<stationLinkBits {
		return int32(s.link)
	}
	return -1<<31 | int32(s.vlan)<<stationLinkBits | int32(s.link)
}

// setFlowLink is the inverse of flowLink.
func (s *station) setFlowLink(v int32) {
	if v >= 0 {
		s.link, s.vlan = int(v), 0
		return
	}
	s.link, s.vlan = int(v&(1<<stationLinkBits-1)), uint16(v>>stationLinkBits&0x0fff)
}

// stationOf returns where a frame came from.
func (w *Worker) stationOf(f *Frame) station {
	return station{mac: wire.Ethernet(f.Data).Source(), link: w.ports[f.Port].link, vlan: f.VLAN.ID()}
}

// tagFor returns the tag with which a frame leaves by a link: its own on the link where it
// came in, otherwise that of the client that is reached there.
func (w *Worker) tagFor(f *Frame, link int, client *station) VLANTag {
	switch {
	case f.VLAN.Present() && w.ports[f.Port].link == link:
		return f.VLAN
	case client != nil && client.vlan != 0 && client.link == link:
		return VLANTag{TPID: wire.EtherTypeVLAN, TCI: client.vlan}
	}
	return VLANTag{}
}
