package parity

import (
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"uvs/internal/wire"
)

// many sends packets of many clients.
func (p *player) many(t *testing.T, e *Entry) ([]string, error) {
	words := strings.Fields(e.Text)
	if len(words) < 3 || words[1] != ">" {
		return nil, fmt.Errorf("want CLIENTS > SERVICE")
	}
	clients, err := expand(words[0])
	if err != nil {
		return nil, err
	}
	virtual, err := netip.ParseAddrPort(words[2])
	if err != nil {
		return nil, err
	}
	var names, lines []string
	for _, c := range clients {
		h, seen := p.talk(t, e.Kind, words[3:], ends{c, virtual})
		name := "-"
		switch {
		case h != 0:
			name = strconv.Itoa(h)
		case len(seen) > 0:
			name = "*"
		}
		names, lines = append(names, name), append(lines, seen...)
	}
	t.Logf("line %d: %s\n%s", e.Line, e, strings.Join(lines, "\n"))
	return []string{strings.Join(names, " ") + ": " + packetsText(lines)}, nil
}

// talk does what many does for one client, and returns the server that got its first packet,
// 0 if none did.
func (p *player) talk(t *testing.T, kind string, words []string, c ends) (server int, seen []string) {
	send := func(side Side, from wire.MAC, src, dst netip.AddrPort, proto uint8, flags uint8) (got int) {
		packet := &Packet{Src: src, Dst: dst, Proto: proto, TTL: standardTTL, Flags: flags, Seq: standardSeq, Ack: ackFor(flags), Window: standardWindow}
		p.at = 0
		p.w.Send(t, FrameTo(side, from, packet.Bytes()))
		more, _ := p.seen(t)
		seen = append(seen, more...)
		return p.at
	}
	request := func(flags uint8) int {
		got := send(Clients, Router().MAC, c.client, c.virtual, wire.ProtoTCP, flags)
		if got != 0 {
			p.holders[c] = holder{got, p.last}
		}
		return got
	}
	reply := func(flags uint8) {
		// By direct routing a server answers past the director.
		if h, ok := p.holders[c]; ok && h.packet.Dst != c.virtual {
			send(Servers, Server(h.server).MAC, h.packet.Dst, h.packet.Src, wire.ProtoTCP, flags)
		}
	}
	const fin, syn, rst, ack = wire.TCPFin, wire.TCPSyn, wire.TCPRst, wire.TCPAck
	switch kind {
	case "pick":
		if len(words) == 1 && words[0] == "udp" {
			return send(Clients, Router().MAC, c.client, c.virtual, wire.ProtoUDP, 0), seen
		}
		server = request(syn)
	case "open":
		if server = request(syn); server != 0 {
			reply(syn | ack)
			request(ack)
		}
	case "close":
		server = request(fin | ack)
		reply(fin | ack)
		request(ack)
	case "abort":
		server = request(rst)
	}
	return server, seen
}

// life sends the packets of one connection and tells what becomes of it.
func (p *player) life(t *testing.T, words []string) ([]string, error) {
	if len(words) < 5 || words[1] != ">" {
		return nil, fmt.Errorf("want CLIENT > SERVICE, protocol and steps")
	}
	client, err := netip.ParseAddrPort(words[0])
	if err != nil {
		return nil, err
	}
	var states, lines []string
	steps := words[4:]
	silent := slices.Contains(steps, "|")
	for _, step := range steps {
		if step == "|" {
			silent = false
			continue
		}
		from, to, side, mac := words[0], words[2], Clients, Router().MAC
		letters, ofServer := strings.CutPrefix(step, "s:")
		if ofServer {
			if p.last == nil {
				return nil, fmt.Errorf("no server has got a packet")
			}
			from, to, side = p.last.Dst.String(), p.last.Src.String(), Servers
		}
		if words[3] == "sctp" {
			letters += "/0"
		}
		packet, err := ParsePacket(fmt.Sprintf("%s > %s %s %s", from, to, words[3], letters))
		if err != nil {
			return nil, err
		}
		if ofServer {
			mac = p.serverOf(packet)
		}
		p.w.Send(t, FrameTo(side, mac, packet.Bytes()))
		seen, _ := p.seen(t)
		lines = append(lines, seen...)
		if !silent {
			states = append(states, p.state(t, client))
		}
	}
	t.Logf("%s\n%s", strings.Join(words, " "), strings.Join(lines, "\n"))
	return []string{strings.Join(states, ", ") + ": " + packetsText(lines)}, nil
}

// packetsText tells of packets in short.
func packetsText(lines []string) string {
	return fmt.Sprintf("%d packets %08x", len(lines), crc32.ChecksumIEEE([]byte(strings.Join(lines, "\n"))))
}

// state is what is listed of a client's connection.
func (p *player) state(t *testing.T, client netip.AddrPort) string {
	for _, l := range commandAnswer(p.w.Ipvsadm(t, []string{"-L", "-n", "-c"})) {
		if w := strings.Fields(l); len(w) > 3 && w[3] == client.String() {
			return w[2] + " " + w[1]
		}
	}
	return "gone"
}

// expand returns the ends that a pattern stands for.
func expand(pattern string) ([]netip.AddrPort, error) {
	base := 10
	first, rest, ranged := strings.Cut(pattern, "..")
	if !ranged {
		a, err := netip.ParseAddrPort(pattern)
		return []netip.AddrPort{a}, err
	}
	i := strings.LastIndexAny(first, ".:[") + 1
	j := strings.IndexAny(rest, "]:")
	if j < 0 {
		j = len(rest)
	} else if rest[j] == ']' {
		base = 16
	}
	from, err := strconv.ParseUint(first[i:], base, 16)
	if err != nil {
		return nil, err
	}
	to, err := strconv.ParseUint(rest[:j], base, 16)
	if err != nil {
		return nil, err
	}
	var list []netip.AddrPort
	for n := from; n <= to; n++ {
		a, err := netip.ParseAddrPort(first[:i] + strconv.FormatUint(n, base) + rest[j:])
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}
