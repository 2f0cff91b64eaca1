package forwarding

import "uvs/internal/wire"

// A peer is a direct-routing server as the sender of frames: its link and MAC.
type peer struct {
	link int
	mac  wire.MAC
}

// notePeers remembers the MACs of the direct-routing servers that are on a link of ours. A
// server behind a gateway has none. Engine.mu is held.
func (s *service) notePeers() {
	var peers map[peer]struct{}
	for _, d := range s.servers {
		hop := d.hop.Load()
		if Method(d.method.Load()) != Route || hop == nil || !hop.Resolved() || hop.Addr != d.addr.Addr() {
			continue
		}
		if peers == nil {
			peers = make(map[peer]struct{})
		}
		peers[peer{hop.Link, hop.Dst}] = struct{}{}
	}
	if peers == nil {
		s.peers.Store(nil)
		return
	}
	s.peers.Store(&peers)
}

// isPeer reports whether frames from a station come from a direct-routing server of s.
func (s *service) isPeer(at *station) bool {
	peers := s.peers.Load()
	if peers == nil {
		return false
	}
	_, ok := (*peers)[peer{at.link, at.mac}]
	return ok
}

// circles tells packets that another director has sent here from those of a server that is
// a client itself: both come from the MAC of a direct-routing server. Two directors
// that are each other's servers would send the former to and fro until their hop limit ends
// (IPVS has backup_only against that, which does not help two masters). Only packets from the
// neighbour that packets to their source go to are the neighbour's own, or have come by it as
// a router. svc may be nil.
func (w *Worker) circles(p *Packet, svc *service, from *station) Reason {
	if svc == nil || !svc.isPeer(from) {
		return Forwarded
	}
	hop, ok := w.routes.Lookup(&p.Tuple.Src, p.Tuple.V6, flowHash(&p.Tuple))
	switch {
	case !ok:
		return DropLoop
	case !hop.Resolved():
		w.engine.want(&hop, false) // it is known when the client tries again
		return DropUnresolved
	case hop.Link == from.link && hop.Dst == from.mac:
		return Forwarded
	}
	return DropLoop
}
