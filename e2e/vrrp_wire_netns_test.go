//go:build netns

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"uvs/internal/netlab/labtest"
)

// A sentAdvert is an advert as a bystander saw it.
type sentAdvert struct {
	at       time.Time
	from     byte // who sent it
	vrid     byte
	priority int
}

// watched is what a bystander records: adverts, and what tells neighbours of addresses.
const watched = "ip proto 112 or ip proto 51 or ip6 proto 112 or arp or icmp6"

// adverts are all that were seen of a lane.
func (p *play) adverts(n int) []sentAdvert {
	p.t.Helper()
	packets, err := p.wires[p.lanes[n].segment].Packets()
	must(p.t, err)
	var list []sentAdvert
	for _, packet := range packets {
		if a, ok := readAdvert(packet); ok && a.vrid == p.lanes[n].vrid {
			list = append(list, a)
		}
	}
	return list
}

// readAdvert finds who sent an advert by its source, whose last byte is the number of its
// player. It reads no more than VRID and priority, by itself.
func readAdvert(p gopacket.Packet) (sentAdvert, bool) {
	var from, body []byte
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		from, body = ip.SrcIP.To4(), ip.Payload
		if ip.Protocol == layers.IPProtocolAH && len(body) > 24 {
			body = body[24:]
		}
	case *layers.IPv6:
		from, body = ip.SrcIP, ip.Payload
	}
	if len(body) < 8 || body[0]&0xf != 1 || len(from) == 0 {
		return sentAdvert{}, false
	}
	return sentAdvert{at: p.Metadata().Timestamp, from: 'a' - 1 + from[len(from)-1], vrid: body[1], priority: int(body[2])}, true
}

// until lets time pass.
func (p *play) until(t time.Time) {
	p.t.Helper()
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.t.Context().Done():
		p.t.Fatal("the test ended")
	}
}

// step does what a step says and judges what follows.
func (p *play) step(s *step) {
	p.t.Helper()
	for _, x := range p.players {
		x.seen, x.lives = make(map[string]int), len(x.procs)
		for _, l := range append(slices.Clone(s.logs), line{text: mastership}, line{text: toBackup}) {
			x.seen[l.text] = strings.Count(x.log(), l.text)
		}
	}
	p.began = time.Now()
	for _, do := range s.do {
		do(p)
	}
	p.ended = time.Now()
	settled := p.began
	for n := range p.lanes {
		if at := p.settle(s, n); at.After(settled) {
			settled = at
		}
	}
	hold := s.hold
	if hold == 0 {
		hold = 3 * p.s.interval
	}
	settled = settled.Add(crossing)
	to := latest(settled, p.ended).Add(hold)
	p.until(to.Add(late))
	for n := range p.lanes {
		p.wantCalm(s, n, settled, to)
	}
	if p.t.Failed() {
		return
	}
	holders := s.holders
	if holders == "" {
		holders = s.masters
	}
	if holders != "?" {
		p.wantHolders(holders)
		for n := range p.lanes {
			p.wantAnnounced(s, n, settled)
		}
	}
	p.wantLogs(s)
	if s.conflict != "?" {
		p.wantConflict(s.conflict)
	}
	p.masters, p.holders = s.masters, holders
}

// crossing is how much later who yields may have sent a last advert: it had not heard yet.
const crossing = 20 * time.Millisecond

// mastership is what every new master writes.
const mastership = "Entering MASTER STATE"

// without are the roles of one list that are not in another.
func without(roles, others string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(others, r) {
			return -1
		}
		return r
	}, roles)
}

// settle waits on a lane until new masters have come and old ones are gone, and tells
// since when it is so.
func (p *play) settle(s *step, n int) time.Time {
	p.t.Helper()
	masters, before := ofLane(s.masters, n), ofLane(p.masters, n)
	came, gone := without(masters, before), without(before, masters)
	var settled time.Time
	for _, role := range []byte(came) {
		settled = p.first(s, n, role, gone)
	}
	for _, role := range []byte(gone) {
		if at := p.last(n, role); at.After(settled) {
			if limit := latest(settled, p.ended).Add(p.s.interval + late); at.After(limit) {
				p.t.Errorf("%s: %c is MASTER until %v after the change", s.what, role, at.Sub(limit))
			}
			settled = at
		}
	}
	if came == "" && gone != "" {
		p.t.Logf("%s: %s alone %v after it", s.what, masters, settled.Sub(p.began).Round(time.Millisecond))
	}
	return settled
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// first waits for the first advert of a new master and judges its time.
func (p *play) first(s *step, n int, role byte, gone string) time.Time {
	p.t.Helper()
	var list []sentAdvert
	var first time.Time
	labtest.Eventually(p.t, s.takes.max+5*time.Second+late, func() error {
		list = p.adverts(n)
		at := slices.IndexFunc(list, func(a sentAdvert) bool { return a.from == role && a.priority > 0 && a.at.After(p.began) })
		if at < 0 {
			return fmt.Errorf("%s: %c is no MASTER\n%s", s.what, role, p.story(list))
		}
		first = list[at].at
		return nil
	})
	least, most := p.began.Add(s.takes.min-early), p.ended.Add(s.takes.max+late)
	if s.takes.silence {
		silent := p.silent(list, gone, first)
		least, most = silent.Add(s.takes.min-early), silent.Add(s.takes.max+late)
		p.t.Logf("%s: %c MASTER %v after the last advert, by the protocol %v", s.what, role, ms(first.Sub(silent)), ms(s.takes.min))
	} else {
		p.t.Logf("%s: %c MASTER %v to %v after it, by the protocol %v to %v", s.what, role,
			ms(first.Sub(p.ended)), ms(first.Sub(p.began)), ms(s.takes.min), ms(s.takes.max))
	}
	if p.s.segments > 1 && n == 0 {
		return first // members of a group wait for the slowest, which is on the last segment
	}
	switch {
	case p.again && first.After(most):
		p.late = fmt.Sprintf("%s: %c MASTER %v after the most", s.what, role, ms(first.Sub(most)))
	case first.Before(least) || first.After(most):
		p.t.Errorf("%s: %c MASTER %v before the least, or %v after the most\n%s", s.what, role, ms(least.Sub(first)), ms(first.Sub(most)), p.story(list))
	}
	return first
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// silent is when one of these was heard last before a time.
func (p *play) silent(list []sentAdvert, roles string, before time.Time) time.Time {
	var last time.Time
	for _, a := range list {
		if strings.IndexByte(roles, a.from) >= 0 && a.at.Before(before) {
			last = a.at
		}
	}
	return last
}

// last waits until a player has been silent for two intervals and a half, and tells when it
// spoke last.
func (p *play) last(n int, role byte) (at time.Time) {
	p.t.Helper()
	quiet := p.s.interval * 5 / 2
	labtest.Eventually(p.t, quiet+10*time.Second, func() error {
		now := time.Now()
		if now.Sub(at) >= quiet {
			must(p.t, p.wires[p.lanes[n].segment].Sync())
		}
		list := p.adverts(n)
		for _, a := range list {
			if a.from == role && a.priority > 0 {
				at = a.at
			}
		}
		if since := now.Sub(at); since < quiet {
			return fmt.Errorf("%c is still MASTER, %v ago\n%s", role, since, p.story(list))
		}
		return nil
	})
	return at
}

// wantCalm wants that from one time to another masters speak often enough for others to stay
// backups, and nobody else does.
func (p *play) wantCalm(s *step, n int, from, to time.Time) {
	p.t.Helper()
	must(p.t, p.wires[p.lanes[n].segment].Sync())
	list := p.adverts(n)
	last := make(map[byte]time.Time)
	for _, role := range []byte(ofLane(s.masters, n)) {
		last[role] = from
	}
	most := 3 * p.s.interval
	for _, a := range list {
		if !a.at.After(from) || a.at.After(to) || a.priority == 0 {
			continue
		}
		before, ok := last[a.from]
		if !ok {
			p.t.Errorf("%s: %c is MASTER, too, %v after it should not be\n%s", s.what, a.from, ms(a.at.Sub(from)), p.story(list))
			return
		}
		if gap := a.at.Sub(before); gap > most && !p.silenced(s, a.from) {
			p.t.Errorf("%s: %c says nothing for %v\n%s", s.what, a.from, ms(gap), p.story(list))
		}
		last[a.from] = a.at
	}
	for role, at := range last {
		if gap := to.Sub(at); gap > most && !p.silenced(s, role) {
			p.t.Errorf("%s: %c says nothing for %v\n%s", s.what, role, ms(gap), p.story(list))
		}
	}
}

// silenced reports whether a master need not be heard.
func (p *play) silenced(s *step, role byte) bool { return s.silenced && p.players[role].kind == 'k' }

// wantAnnounced wants that the new masters of a lane tell the neighbours of their addresses
// with their first adverts, and those of tells when the others have yielded.
func (p *play) wantAnnounced(s *step, n int, settled time.Time) {
	p.t.Helper()
	for _, role := range p.newcomers(s, n) {
		p.announcement(s, n, role, p.began)
	}
	for _, role := range []byte(s.tells) {
		took := p.announcement(s, n, role, settled).Sub(settled)
		p.t.Logf("%s: %c tells the neighbours %v after the other has yielded", s.what, role, ms(took))
		if p.players[role].kind == 'u' && took > 2*p.s.interval+late {
			p.t.Errorf("%s: %c leaves the neighbours in the dark for %v", s.what, role, ms(took))
		}
	}
}

// announcement waits until a player tells of its address after a time, from the MAC that
// answers for it, and returns when it did.
func (p *play) announcement(s *step, n int, role byte, after time.Time) (at time.Time) {
	p.t.Helper()
	macs := []net.HardwareAddr{{0, 0, 0x5e, 0, 1, 51}, {0, 0, 0x5e, 0, 2, 51}} // of use_vmac
	mac, err := p.players[role].host.MAC(fmt.Sprintf("eth%d", p.lanes[n].segment))
	must(p.t, err)
	macs = append(macs, mac)
	address := netip.MustParseAddr(p.vips()[n])
	const garpDelay = 5 * time.Second // of keepalived
	labtest.Eventually(p.t, garpDelay+2*time.Second, func() error {
		packets, err := p.wires[p.lanes[n].segment].Packets()
		must(p.t, err)
		for _, packet := range packets {
			if at = packet.Metadata().Timestamp; at.After(after) && announces(packet, address, macs) {
				return nil
			}
		}
		return fmt.Errorf("%s: %c tells nobody of %s", s.what, role, address)
	})
	return at
}

// announces reports whether a packet is a gratuitous ARP or an unsolicited neighbour advert
// for an address, from one of these MACs.
func announces(p gopacket.Packet, a netip.Addr, macs []net.HardwareAddr) bool {
	eth, ok := p.LinkLayer().(*layers.Ethernet)
	if !ok || !slices.ContainsFunc(macs, func(m net.HardwareAddr) bool { return bytes.Equal(m, eth.SrcMAC) }) {
		return false
	}
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		return bytes.Equal(arp.SourceProtAddress, a.AsSlice()) && bytes.Equal(arp.DstProtAddress, a.AsSlice())
	}
	na, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	return ok && bytes.Equal(na.TargetAddress, a.AsSlice())
}

// newcomers are the masters of a lane that were none before, neither on the wire nor by
// themselves.
func (p *play) newcomers(s *step, n int) (roles []byte) {
	for _, role := range []byte(without(ofLane(s.masters, n), ofLane(p.masters, n))) {
		x := p.players[role]
		if all := strings.IndexByte(ofLane(p.holders, n), role) >= 0 && len(x.procs) == x.lives; !all && x.kind != 'f' {
			roles = append(roles, role)
		}
	}
	return roles
}

// wantLogs waits for the lines of a step.
func (p *play) wantLogs(s *step) {
	p.t.Helper()
	logs := s.logs
	for n := range p.lanes {
		for _, role := range p.newcomers(s, n) {
			logs = append(slices.Clone(logs), line{who: string(role), text: mastership})
		}
	}
	for _, l := range logs {
		x := p.players[l.who[0]]
		if x.kind == 'f' || l.uvs && x.kind != 'u' {
			continue
		}
		labtest.Eventually(p.t, labtest.Hang, func() error {
			n := strings.Count(x.log(), l.text) - x.seen[l.text]
			if n == 0 || l.once && x.kind == 'u' && n > 1 {
				return fmt.Errorf("%s: %s has written %q %d times", s.what, x.name, l.text, n)
			}
			return nil
		})
	}
}

// story is the last adverts of a segment for a failure message.
func (p *play) story(list []sentAdvert) string {
	const most = 60
	var b strings.Builder
	for _, a := range list[max(len(list)-most, 0):] {
		fmt.Fprintf(&b, "  %8.3f s %c priority %d\n", a.at.Sub(p.began).Seconds(), a.from, a.priority)
	}
	return b.String()
}
