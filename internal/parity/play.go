package parity

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"uvs/internal/wire"
)

// A World is where a script is played: a director between the two networks of the site.
// One goroutine uses it.
type World interface {
	// Reset begins a case.
	Reset(t *testing.T)
	// Sysctl changes a setting of net.ipv4.vs.
	Sysctl(t *testing.T, name, value string)
	// MTU changes that of a side.
	MTU(t *testing.T, s Side, n int)
	// Ipvsadm answers a command, with what it writes to standard output and error, and its status.
	Ipvsadm(t *testing.T, args []string) (stdout, stderr string, status int)
	// Send puts a frame on a network, to the director.
	Send(t *testing.T, f Frame)
	// Seen returns what the director has sent since the last call, after it has dealt with all
	// that was sent to it. left is how many frames it has left to the host's own stack, if there
	// is none in this world; else 0.
	Seen(t *testing.T) (seen []Frame, left int)
	// Wait lets time go by.
	Wait(t *testing.T, d time.Duration)
}

// leftLine stands for a frame that was left to the host's stack, in a world without one.
const leftLine = "left to the stack"

// Read reads the script in a file, which must be as String writes it.
func Read(t *testing.T, file string) Script {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if s.String() != string(text) {
		t.Errorf("%s would be written in another form", file)
	}
	return s
}

// A player is where one script stands.
type player struct {
	w       World
	last    *Packet // at a server
	at      int     // which server that was
	holders map[ends]holder
}

// ends are those of a connection as its client sees it.
type ends struct{ client, virtual netip.AddrPort }

// A holder is the server that has a connection, and the last packet that it got of it.
type holder struct {
	server int
	packet *Packet
}

// Play plays a script in a world and passes each entry that is played with the answer. Of
// answers told in short the test's log has all lines.
func (s Script) Play(t *testing.T, w World, answer func(e *Entry, got []string)) {
	t.Helper()
	p := &player{w: w}
	for _, e := range s {
		if e.Kind == "" || e.Kind == "#" {
			continue
		}
		got, err := p.play(t, e)
		if err != nil {
			t.Fatalf("line %d: %s: %v", e.Line, e, err)
		}
		answer(e, got)
	}
}

func (p *player) play(t *testing.T, e *Entry) ([]string, error) {
	t.Helper()
	words := strings.Fields(e.Text)
	switch e.Kind {
	case "case":
		p.last, p.holders = nil, make(map[ends]holder)
		p.w.Reset(t)
	case "sysctl":
		if len(words) < 2 {
			return nil, fmt.Errorf("want NAME VALUE")
		}
		p.w.Sysctl(t, words[0], strings.Join(words[1:], " "))
	case "mtu":
		return nil, p.mtu(t, words)
	case "wait":
		n, err := strconv.Atoi(e.Text)
		if err != nil {
			return nil, err
		}
		p.w.Wait(t, time.Duration(n)*time.Second)
	case "ipvsadm":
		return commandAnswer(p.w.Ipvsadm(t, words)), nil
	case "rates":
		return p.rates(t, words), nil
	case "client", "server", "answer", "pieces":
		return p.packet(t, e)
	case "life":
		return p.life(t, words)
	default:
		return p.many(t, e)
	}
	return nil, nil
}

func (p *player) mtu(t *testing.T, words []string) error {
	if len(words) == 2 {
		n, err := strconv.Atoi(words[1])
		for _, s := range []Side{Clients, Servers} {
			if err == nil && s.Device() == words[0] {
				p.w.MTU(t, s, n)
				return nil
			}
		}
	}
	return fmt.Errorf("want eth0 or eth1, and a number")
}

// coarse is what times are rounded up to, in seconds: a machine that is emulated may stand
// still for some.
const coarse = 10

// expiry is the time in a line of ipvsadm -Lnc.
var expiry = regexp.MustCompile(`^((?:TCP|UDP|SCTP|IP|ICMP)\s+)(\d+):(\d\d)`)

// titles begin the lines that are the same in each listing.
func titles() []string {
	return []string{"IP Virtual Server version", "Prot LocalAddress:Port", "  -> RemoteAddress:Port", "IPVS connection entries", "pro expire"}
}

// commandAnswer is an answer of ipvsadm without titles and what differs from run to run: the
// order of connections, and seconds.
func commandAnswer(stdout, stderr string, status int) []string {
	var lines []string
	connections := 0 // lines before the first one
	for l := range strings.Lines(stdout) {
		l = strings.TrimRight(l, " \n")
		if slices.ContainsFunc(titles(), func(t string) bool { return strings.HasPrefix(l, t) }) {
			continue
		}
		if m := expiry.FindStringSubmatch(l); m != nil {
			minutes, _ := strconv.Atoi(m[2])
			seconds, _ := strconv.Atoi(m[3])
			seconds = (60*minutes + seconds + coarse - 1) / coarse * coarse
			l = fmt.Sprintf("%s%02d:%02d%s", m[1], seconds/60, seconds%60, l[len(m[0]):])
		} else if connections == len(lines) {
			connections++
		}
		lines = append(lines, l)
	}
	slices.Sort(lines[connections:])
	for l := range strings.Lines(stderr) {
		lines = append(lines, "! "+strings.TrimRight(l, "\n"))
	}
	if status != 0 {
		lines = append(lines, fmt.Sprintf("? %d", status))
	}
	return lines
}

// rates looks at rates until nothing is left of them.
func (p *player) rates(t *testing.T, args []string) (lines []string) {
	const every, looks = 500 * time.Millisecond, 200
	var before []string
	for range looks {
		now := commandAnswer(p.w.Ipvsadm(t, append([]string{"-L", "-n", "--rate"}, args...)))
		still := true
		for _, l := range now {
			for _, n := range strings.Fields(l)[min(2, len(strings.Fields(l))):] {
				if x, err := strconv.Atoi(n); err == nil && x != 0 {
					still = false
				}
			}
		}
		if !slices.Equal(now, before) && (before != nil || !still) { // the first estimate is still to come
			lines, before = append(append(lines, "--"), now...), now
		}
		if still && before != nil {
			return lines
		}
		p.w.Wait(t, every)
	}
	return append(lines, "and so on")
}

// packet sends one packet, perhaps in pieces.
func (p *player) packet(t *testing.T, e *Entry) ([]string, error) {
	kind, text, piece := e.Kind, e.Text, 0
	if kind == "pieces" {
		var n string
		var err error
		n, text, _ = strings.Cut(text, " ")
		if piece, err = strconv.Atoi(n); err != nil {
			return nil, err
		}
		kind, text, _ = strings.Cut(text, " ")
	}
	if kind == "answer" {
		if p.last == nil {
			return nil, fmt.Errorf("no server has got a packet")
		}
		kind, text = "server", fmt.Sprintf("%s > %s %s %s", p.last.Dst, p.last.Src, protocolNames()[p.last.Proto], text)
	}
	packet, err := ParsePacket(text)
	if err != nil {
		return nil, err
	}
	side, from := Clients, Router().MAC
	if kind == "server" {
		side, from = Servers, p.serverOf(packet)
	}
	for _, ip := range packet.pieces(piece) {
		p.w.Send(t, FrameTo(side, from, ip))
	}
	lines, left := p.seen(t)
	if e.Stack && left > 0 {
		if lines = lines[left:]; len(lines) == 0 {
			return e.Want(), nil // what the stack answers is not this world's to know
		}
	}
	return lines, nil
}

// serverOf is the MAC of who sends a packet on the servers' side.
func (p *player) serverOf(packet *Packet) wire.MAC {
	for n := 1; n <= ServerCount; n++ {
		if s := Server(n); slices.Contains(s.Addrs, packet.Src.Addr()) {
			return s.MAC
		}
	}
	return Server(max(p.at, 1)).MAC
}

// pieces returns the packet in fragments with at most n bytes of payload, in the order of
// sending; n = 0: whole.
func (p *Packet) pieces(n int) [][]byte {
	if n == 0 {
		return [][]byte{p.Bytes()}
	}
	size, body := max(n, -n)&^7, p.body()
	var list [][]byte
	for off := 0; off < len(body); off += size {
		end := min(off+size, len(body))
		f := *p
		f.Fragment = &Fragment{Offset: off, More: end < len(body), ID: 4711}
		f.Data = body[off:end]
		list = append(list, f.Bytes())
	}
	if n < 0 {
		slices.Reverse(list)
	}
	return list
}

// seen tells what the director made of what it was sent, and how much of it it left.
func (p *player) seen(t *testing.T) (lines []string, left int) {
	t.Helper()
	frames, left := p.w.Seen(t)
	for range left {
		lines = append(lines, leftLine)
	}
	for _, f := range frames {
		ip := f.Data[wire.EthernetLen:]
		lines = append(lines, f.recipient()+" "+Describe(ip))
		p.note(f, ip)
	}
	return lines, left
}

// note remembers what a server got.
func (p *player) note(f Frame, ip []byte) {
	if f.Side != Servers {
		return
	}
	packet := readPacket(ip)
	if packet == nil || packet.Fragment != nil {
		return
	}
	for packet.Inner != nil && (packet.Proto == protoIPIP || packet.Proto == protoIPv6) {
		packet = packet.Inner
	}
	if packet.Proto == wire.ProtoICMP || packet.Proto == wire.ProtoICMPv6 {
		return // about what another one was
	}
	p.last, p.at = packet, int(wire.Ethernet(f.Data).Destination()[5])
}

// Compare fails the test if an answer is not the one wanted.
func (e *Entry) Compare(t *testing.T, file string, got []string) {
	t.Helper()
	if want := e.Want(); !slices.Equal(got, want) {
		t.Errorf("%s:%d: %s\ngot\n\t%s\nwant\n\t%s", file, e.Line, e, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
