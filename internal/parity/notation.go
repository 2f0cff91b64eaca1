package parity

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"uvs/internal/wire"
)

// What a packet has unless its text says otherwise. The TTL is always told of packets that
// were seen.
const (
	standardTTL    = 64
	standardSeq    = 1000
	standardAck    = 2000 // with the flag ACK, else 0
	standardWindow = 1024
)

const flagLetters = "FSRPAUEW" // from bit 0 on

func protocolNames() map[uint8]string {
	return map[uint8]string{
		wire.ProtoTCP: "tcp", wire.ProtoUDP: "udp", wire.ProtoSCTP: "sctp", wire.ProtoICMP: "icmp", wire.ProtoICMPv6: "icmp6",
		protoIPIP: "ipip", protoIPv6: "ipv6",
	}
}

// String returns the packet's text:
//
//	SRC > DST PROTOCOL [KIND/CODE | FLAGS] {WORD VALUE} [about PACKET | holds PACKET]
//
// A SRC has a port for TCP, UDP and SCTP. FLAGS are letters of FSRPAUEW or "-". PROTOCOL is tcp,
// udp, sctp, icmp, icmp6, ipip, ipv6 or a number; KIND/CODE are of ICMP, and of SCTP's one
// chunk. Words are
//
//	ttl N, tos N, df, flow N, ipopt HEX    of the IP header
//	frag N, frag N+                        a fragment at byte N, the last one or not
//	seq N, ack N, win N, urg N, opt HEX    of TCP
//	rest N                                 bytes 4 to 8 of ICMP and SCTP
//	sum HEX                                a checksum that is not right
//	cut N                                  only N bytes of the payload are there
//	data N, data "TEXT", data HEX          N bytes of the alphabet, or others
//
// A fragment that was seen has "crc HEX N" for its N bytes.
func (p *Packet) String() string {
	var b strings.Builder
	p.write(&b)
	return b.String()
}

func (p *Packet) write(b *strings.Builder) {
	name, ok := protocolNames()[p.Proto]
	if !ok {
		name = strconv.Itoa(int(p.Proto))
	}
	ports := p.Fragment == nil && (p.Proto == wire.ProtoTCP || p.Proto == wire.ProtoUDP || p.Proto == wire.ProtoSCTP)
	fmt.Fprintf(b, "%s > %s %s", endText(p.Src, ports), endText(p.Dst, ports), name)
	word := func(name string, v any) { fmt.Fprintf(b, " %s %v", name, v) }
	if p.Fragment == nil {
		p.writeTransport(b, word)
	}
	word("ttl", p.TTL)
	if p.TOS != 0 {
		word("tos", p.TOS)
	}
	if p.DF {
		b.WriteString(" df")
	}
	if p.Flow != 0 {
		word("flow", p.Flow)
	}
	if len(p.Options) > 0 {
		word("ipopt", hex.EncodeToString(p.Options))
	}
	if p.Cut > 0 {
		word("cut", p.Cut)
	}
	if f := p.Fragment; f != nil {
		more := ""
		if f.More {
			more = "+"
		}
		fmt.Fprintf(b, " frag %d%s crc %08x %d", f.Offset, more, crc32.ChecksumIEEE(p.Data), len(p.Data))
		return
	}
	switch {
	case p.Inner == nil:
		p.writeData(b)
		return
	case p.Proto == protoIPIP || p.Proto == protoIPv6:
		b.WriteString(" holds ")
	default:
		b.WriteString(" about ")
	}
	p.Inner.write(b)
}

func (p *Packet) writeTransport(b *strings.Builder, word func(string, any)) {
	switch p.Proto {
	case wire.ProtoTCP:
		b.WriteString(" " + flagsText(p.Flags))
		if p.Seq != standardSeq {
			word("seq", p.Seq)
		}
		if p.Ack != ackFor(p.Flags) {
			word("ack", p.Ack)
		}
		if p.Window != standardWindow {
			word("win", p.Window)
		}
		if p.Urgent != 0 {
			word("urg", p.Urgent)
		}
		if len(p.TCPOptions) > 0 {
			word("opt", hex.EncodeToString(p.TCPOptions))
		}
	case wire.ProtoICMP, wire.ProtoICMPv6, wire.ProtoSCTP:
		fmt.Fprintf(b, " %d/%d", p.Kind, p.Code)
		if p.Rest != 0 {
			word("rest", p.Rest)
		}
	}
	if p.Sum != nil {
		word("sum", fmt.Sprintf("%04x", *p.Sum))
	}
}

func (p *Packet) writeData(b *strings.Builder) {
	switch n := len(p.Data); {
	case n == 0:
	case slices.Equal(p.Data, Pattern(n)):
		fmt.Fprintf(b, " data %d", n)
	case strconv.CanBackquote(strings.Trim(string(p.Data), "\r\n")):
		fmt.Fprintf(b, " data %q", p.Data)
	default:
		fmt.Fprintf(b, " data x%x", p.Data)
	}
}

func endText(e netip.AddrPort, ports bool) string {
	if ports {
		return e.String()
	}
	return e.Addr().String()
}

func flagsText(flags uint8) string {
	if flags == 0 {
		return "-"
	}
	var b strings.Builder
	for i := range len(flagLetters) {
		if flags&(1<<i) != 0 {
			b.WriteByte(flagLetters[i])
		}
	}
	return b.String()
}

func parseFlags(text string) (flags uint8, err error) {
	if text == "-" {
		return 0, nil
	}
	for _, r := range text {
		i := strings.IndexRune(flagLetters, r)
		if i < 0 {
			return 0, fmt.Errorf("flags %q are not of %s", text, flagLetters)
		}
		flags |= 1 << i
	}
	return flags, nil
}

func ackFor(flags uint8) uint32 {
	if flags&wire.TCPAck != 0 {
		return standardAck
	}
	return 0
}

// ParsePacket reads a packet's text. What it leaves out is: ttl 64, seq 1000, ack 2000 with
// the flag A and else 0, win 1024, and 0 or nothing for all else.
func ParsePacket(text string) (*Packet, error) {
	w := words{fields(text)}
	p, err := w.packet()
	if err != nil {
		return nil, fmt.Errorf("packet %q: %w", text, err)
	}
	return p, nil
}

// fields splits at blanks that are not within quotes.
func fields(text string) []string {
	var list []string
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		if q, err := strconv.QuotedPrefix(text); err == nil {
			list, text = append(list, q), text[len(q):]
			continue
		}
		w, rest, _ := strings.Cut(text, " ")
		list, text = append(list, w), rest
	}
	return list
}

// words are what is left to read of a packet.
type words struct{ left []string }

func (w *words) next() string {
	if len(w.left) == 0 {
		return ""
	}
	x := w.left[0]
	w.left = w.left[1:]
	return x
}

func (w *words) number(p any, bits int) error {
	text := w.next()
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return fmt.Errorf("%q is no number of %d bits", text, bits)
	}
	switch p := p.(type) {
	case *uint8:
		*p = uint8(n)
	case *uint16:
		*p = uint16(n)
	case *uint32:
		*p = uint32(n)
	case *int:
		*p = int(n)
	}
	return nil
}

func (w *words) hex(p *[]byte) (err error) {
	*p, err = hex.DecodeString(w.next())
	if err == nil && len(*p)%4 != 0 {
		err = fmt.Errorf("%x is no multiple of four bytes", *p)
	}
	return err
}

func (w *words) packet() (*Packet, error) {
	p := &Packet{TTL: standardTTL, Seq: standardSeq, Window: standardWindow}
	var err error
	if p.Src, err = parseEnd(w.next()); err != nil {
		return nil, err
	}
	if x := w.next(); x != ">" {
		return nil, fmt.Errorf("%q stands where > should", x)
	}
	if p.Dst, err = parseEnd(w.next()); err != nil {
		return nil, err
	}
	if p.Src.Addr().Is4() != p.Dst.Addr().Is4() {
		return nil, fmt.Errorf("%s and %s are of two families", p.Src.Addr(), p.Dst.Addr())
	}
	if err := w.protocol(p); err != nil {
		return nil, err
	}
	for len(w.left) > 0 {
		if err := w.option(p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func parseEnd(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 0), nil
	}
	return netip.ParseAddrPort(text)
}

func (w *words) protocol(p *Packet) error {
	name := w.next()
	for number, x := range protocolNames() {
		if x == name {
			p.Proto = number
		}
	}
	if p.Proto == 0 {
		n, err := strconv.ParseUint(name, 10, 8)
		if err != nil {
			return fmt.Errorf("%q is no protocol", name)
		}
		p.Proto = uint8(n)
	}
	switch p.Proto {
	case wire.ProtoTCP:
		flags, err := parseFlags(w.next())
		if err != nil {
			return err
		}
		p.Flags, p.Ack = flags, ackFor(flags)
	case wire.ProtoICMP, wire.ProtoICMPv6, wire.ProtoSCTP:
		text := w.next()
		if _, err := fmt.Sscanf(text, "%d/%d", &p.Kind, &p.Code); err != nil {
			return fmt.Errorf("%q is not KIND/CODE", text)
		}
	}
	return nil
}

func (w *words) option(p *Packet) error {
	switch name := w.next(); name {
	case "ttl":
		return w.number(&p.TTL, 8)
	case "tos":
		return w.number(&p.TOS, 8)
	case "df":
		p.DF = true
	case "flow":
		return w.number(&p.Flow, 20)
	case "ipopt":
		return w.hex(&p.Options)
	case "seq":
		return w.number(&p.Seq, 32)
	case "ack":
		return w.number(&p.Ack, 32)
	case "win":
		return w.number(&p.Window, 16)
	case "urg":
		return w.number(&p.Urgent, 16)
	case "opt":
		return w.hex(&p.TCPOptions)
	case "rest":
		return w.number(&p.Rest, 32)
	case "cut":
		return w.number(&p.Cut, 16)
	case "sum":
		n, err := strconv.ParseUint(w.next(), 16, 16)
		sum := uint16(n)
		p.Sum = &sum
		return err
	case "data":
		return w.data(p)
	case "about", "holds":
		inner, err := w.packet()
		p.Inner = inner
		return err
	default:
		return fmt.Errorf("%q is no word of a packet", name)
	}
	return nil
}

func (w *words) data(p *Packet) (err error) {
	text := w.next()
	switch {
	case strings.HasPrefix(text, `"`):
		text, err = strconv.Unquote(text)
		p.Data = []byte(text)
	case strings.HasPrefix(text, "x"):
		p.Data, err = hex.DecodeString(text[1:])
	default:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 16)
		p.Data = Pattern(int(n))
	}
	return err
}
