package vipcheck

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"uvs/internal/wire"
)

// network is sockets in memory. A server answers what is sent by answer; nil is silence.
type network struct {
	mu     sync.Mutex
	taps   map[bool]*memory
	sent   []sent
	answer func(s sent) [][]byte
}

// A sent is a packet and when it was sent.
type sent struct {
	at     time.Time
	link   int
	to     wire.MAC
	kind   uint16
	packet []byte
}

// segment reads what was sent as it is.
func (s *sent) segment() segment {
	p, _ := openIP(s.packet)
	x := segmentOf(&p)
	x.flags = wire.TCP(p.payload).Flags()
	return x
}

type listener struct{ net.Listener }

func (listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[::]:40000"))
}
func (listener) Close() error { return nil }

func (n *network) guard() (net.Listener, error) { return listener{}, nil }

func (n *network) tap(v6 bool, _ uint16) (tap, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := &memory{n: n, packets: make(chan []byte, 8)}
	n.taps[v6] = m
	return m, nil
}

type memory struct {
	n       *network
	packets chan []byte
}

func (m *memory) Read(b []byte) (int, error) {
	p, ok := <-m.packets
	if !ok {
		return 0, os.ErrClosed
	}
	return copy(b, p), nil
}

func (m *memory) Close() error { close(m.packets); return nil }

func (m *memory) send(link int, to wire.MAC, kind uint16, packet []byte) error {
	s := sent{time.Now(), link, to, kind, packet}
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	m.n.sent = append(m.n.sent, s)
	if m.n.answer != nil {
		for _, p := range m.n.answer(s) {
			m.n.taps[p[0]>>4 == 6].packets <- p
		}
	}
	return nil
}

// asIs sends packets of IPv4 as they are.
func asIs(b []byte) (uint16, []byte) { return wire.EtherTypeIPv4, b }

func question() Question {
	return Question{VIP: vip4, Source: own4.Addr(), Link: 3, MAC: wire.MAC{2, 0, 0, 0, 0, 9}, Wrap: asIs}
}

// ask asks one question of a network for five seconds, and returns what was sent besides.
func ask(t *testing.T, q Question, answer func(s sent) [][]byte) (sents []sent, took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &network{taps: make(map[bool]*memory), answer: answer}
		p := newProber(n)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err = p.Ask(ctx, q)
		took = time.Since(began)
		if closing := p.Close(); closing != nil {
			t.Error(closing)
		}
		for i := range n.sent {
			n.sent[i].at = time.Time{}.Add(n.sent[i].at.Sub(began))
		}
		sents = n.sent
		if err := p.Ask(ctx, q); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
	return sents, took, err
}

// says lists what was sent: flags and seconds.
func says(list []sent) string {
	var b strings.Builder
	for _, s := range list {
		switch x := s.segment(); x.flags {
		case wire.TCPSyn:
			b.WriteString("S")
		case wire.TCPRst:
			b.WriteString("R")
		default:
			b.WriteString("?")
		}
		b.WriteString(s.at.Format("5 "))
	}
	return strings.TrimSpace(b.String())
}

// TestAsk: each answer in turn, what it is taken for, and what is sent for it.
func TestAsk(t *testing.T) {
	server, other := netip.MustParseAddr("198.51.100.11"), netip.MustParseAddr("198.51.100.12")
	opening := func(f func(x segment, packet []byte) [][]byte) func(sent) [][]byte {
		return func(s sent) [][]byte {
			if x := s.segment(); x.flags == wire.TCPSyn {
				return f(x, s.packet)
			}
			return nil
		}
	}
	one := func(b []byte) [][]byte { return [][]byte{b} }
	for _, c := range []struct {
		name   string
		answer func(sent) [][]byte
		want   error
		sent   string
	}{
		{"accepted", opening(func(x segment, _ []byte) [][]byte {
			return one(answer(vip4, own4, 99, x.seq+1, wire.TCPSyn|wire.TCPAck))
		}), nil, "S0 R0"},
		{"nothing listens", opening(func(x segment, _ []byte) [][]byte {
			return one(answer(vip4, own4, 0, x.seq+1, wire.TCPRst|wire.TCPAck))
		}), ErrRefused, "S0"},
		{"silence", nil, ErrSilent, "S0 S1 S3"},
		{"an answer that nobody has asked for", opening(func(x segment, _ []byte) [][]byte {
			return [][]byte{
				answer(vip4, own4, 0, x.seq, wire.TCPRst|wire.TCPAck),                                            // made up
				answer(netip.AddrPortFrom(vip4.Addr(), 81), own4, 99, x.seq+1, wire.TCPSyn|wire.TCPAck),          // of another service
				answer(vip4, netip.AddrPortFrom(vip4.Addr(), own4.Port()), 99, x.seq+1, wire.TCPSyn|wire.TCPAck), // to another address
				answer(vip4, own4, 99, x.seq+1, 0),                                                               // no answer at all
			}
		}), ErrSilent, "S0 S1 S3"},
		{"the server forwards", opening(func(_ segment, b []byte) [][]byte {
			return one(icmpAbout(server, own4.Addr(), wire.ICMPTimeExceeded, 0, b, 28))
		}), &Refusal{From: server, Type: 11}, "S0"},
		{"an error about another segment", opening(func(_ segment, b []byte) [][]byte {
			b = append([]byte(nil), b...)
			b[27]++ // its sequence number
			return one(icmpAbout(server, own4.Addr(), wire.ICMPUnreachable, 1, b, 28))
		}), ErrSilent, "S0 S1 S3"},
		{"an error about somebody's tunnel", opening(func(_ segment, b []byte) [][]byte {
			return one(icmpAbout(server, own4.Addr(), wire.ICMPUnreachable, 2, in(own4.Addr(), other, wire.ProtoIPIP, nil, b), 28))
		}), ErrSilent, "S0 S1 S3"},
	} {
		list, _, err := ask(t, question(), c.answer)
		var got, want *Refusal
		if errors.As(err, &got) && errors.As(c.want, &want) {
			if *got != *want {
				t.Errorf("%s: %+v, want %+v", c.name, got, want)
			}
		} else if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if s := says(list); s != c.sent {
			t.Errorf("%s: sent %q, want %q", c.name, s, c.sent)
		}
		for _, s := range list {
			if s.link != 3 || s.to != question().MAC || s.kind != wire.EtherTypeIPv4 {
				t.Errorf("%s: sent by link %d to %s as %#x", c.name, s.link, s.to, s.kind)
			}
		}
		if n := len(list); n > 1 && list[n-1].segment().flags == wire.TCPRst && list[n-1].segment().seq != list[0].segment().seq+1 {
			t.Errorf("%s: the reset has number %d after %d", c.name, list[n-1].segment().seq, list[0].segment().seq)
		}
	}
}

// TestAskWhenAResetWasLost: a server that still has the connection of an older question is told to forget it, and asked
// again; one that goes on all the same is not told for ever.
func TestAskWhenAResetWasLost(t *testing.T) {
	const old = 0x77777777
	forgets := true
	server := func() func(s sent) [][]byte {
		open := true
		return func(s sent) [][]byte {
			x := s.segment()
			switch {
			case x.flags == wire.TCPRst && x.seq == old && forgets:
				open = false
			case x.flags == wire.TCPSyn && open:
				return [][]byte{answer(vip4, own4, 1, old, wire.TCPAck)}
			case x.flags == wire.TCPSyn:
				return [][]byte{answer(vip4, own4, 1, x.seq+1, wire.TCPSyn|wire.TCPAck)}
			}
			return nil
		}
	}
	if list, _, err := ask(t, question(), server()); err != nil || says(list) != "S0 R0 S0 R0" {
		t.Errorf("%v, sent %q; want an answer, and S0 R0 S0 R0", err, says(list))
	}
	forgets = false
	if list, _, err := ask(t, question(), server()); !errors.Is(err, ErrSilent) || says(list) != "S0 R0 S0 R0 S0 R0 S0 S1 S3" {
		t.Errorf("%v, sent %q; want silence, and three resets", err, says(list))
	}
}

// TestAskThroughATunnel: an error about the outer packet is an answer, at its own port where that is UDP's; and one about
// a datagram of somebody else's is not.
func TestAskThroughATunnel(t *testing.T) {
	server := netip.MustParseAddr("198.51.100.11")
	const gue = 6080
	header := func(port uint16) []byte {
		b := make([]byte, wire.UDPLen)
		wire.UDP(b).Init(50000, port, wire.UDPLen)
		return b
	}
	for _, c := range []struct {
		name  string
		port  uint16 // of the tunnel
		about []byte
		code  uint8
		want  error
	}{
		{"ipip", 0, in(own4.Addr(), server, wire.ProtoIPIP, nil, make([]byte, 40)), wire.ICMPCodeProtocol, &Refusal{From: server, Type: 3, Code: 2}},
		{"gue", gue, in(own4.Addr(), server, wire.ProtoUDP, header(gue), nil), wire.ICMPCodePort, &Refusal{From: server, Type: 3, Code: 3}},
		{"a name server's port", gue, in(own4.Addr(), server, wire.ProtoUDP, header(53), nil), wire.ICMPCodePort, ErrSilent},
		{"a name server's port, for ipip", 0, in(own4.Addr(), server, wire.ProtoUDP, header(53), nil), wire.ICMPCodePort, ErrSilent},
	} {
		q := question()
		q.VIP, q.Source, q.Tunnel = vip6, own6.Addr(), netip.AddrPortFrom(server, c.port) // IPv6 inside of IPv4
		q.Wrap = func([]byte) (uint16, []byte) { return wire.EtherTypeIPv4, c.about }
		_, _, err := ask(t, q, func(sent) [][]byte {
			return [][]byte{icmpAbout(server, own4.Addr(), wire.ICMPUnreachable, c.code, c.about, 28)}
		})
		var got, want *Refusal
		switch {
		case errors.As(c.want, &want):
			if !errors.As(err, &got) || *got != *want {
				t.Errorf("%s: %v, want %v", c.name, err, want)
			}
		case !errors.Is(err, c.want):
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
