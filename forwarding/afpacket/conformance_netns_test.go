//go:build netns

package afpacket_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/forwarding/afxdp"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// shapes lists every way to receive. What a port promises, each of them keeps.
func shapes() []afpacket.Shape {
	return []afpacket.Shape{
		{Receive: afpacket.TPacketV2},
		{Receive: afpacket.TPacketV3},
		{Receive: afpacket.RecvMMsg},
		{Receive: afpacket.TPacketV2, Plain: true, MaxFrame: 1514},
		{Receive: afpacket.TPacketV3, Plain: true, MaxFrame: 1514},
		{Receive: afpacket.RecvMMsg, Plain: true, MaxFrame: 1514},
	}
}

// A way is how frames come in and go out.
type way struct {
	afpacket.Shape
	afxdp bool // else by sendmmsg
}

func (w way) String() string {
	if w.afxdp {
		return w.Shape.String() + " and afxdp"
	}
	return w.Shape.String()
}

// TestConformance holds every way to receive, and every way to send, to the promises of
// forwarding.Port.
func TestConformance(t *testing.T) {
	ways := []way{
		{afpacket.Shape{Receive: afpacket.TPacketV2}, true},
		{afpacket.Shape{Receive: afpacket.TPacketV2, Plain: true, MaxFrame: 1514}, true},
	}
	for _, shape := range shapes() {
		ways = append(ways, way{Shape: shape})
	}
	for _, way := range ways {
		t.Run(way.String(), func(t *testing.T) {
			for _, tt := range []struct {
				name string
				run  func(*testing.T, *wireBetween)
			}{
				{"order", keepsOrder},
				{"order of short and long frames", keepsMixedOrder},
				{"several segments in one frame", takesGSO},
				{"many long frames", takesManyLong},
				{"unfinished checksum", takesPartialChecksum},
				{"vlan tags", keepsVLANTags},
				{"full", countsDrops},
				{"frames stay until released", keepsFrames},
				{"start and stop", startsAndStops},
				{"own frames", ignoresOwnFrames},
				{"link down and up", outlivesLinkDown},
				{"close", closes},
				{"no allocations", allocatesNothing},
			} {
				t.Run(tt.name, func(t *testing.T) { tt.run(t, newWire(t, way)) })
			}
		})
	}
}

// A wireBetween is a veth pair: what from sends, the group to tests receives.
type wireBetween struct {
	t        *testing.T
	a, b     *netlab.Host
	src, dst net.HardwareAddr
	shape    afpacket.Shape
	from     forwarding.Port
	group    *afpacket.Group
	to       forwarding.Port
	seq      uint32 // of the next frame
}

func newWire(t *testing.T, way way) *wireBetween {
	t.Helper()
	site := labtest.New(t)
	w := &wireBetween{t: t, a: labtest.Host(t, site, "a"), b: labtest.Host(t, site, "b"), shape: way.Shape}
	if err := site.Connect(w.a, "eth0", w.b, "eth0"); err != nil {
		t.Fatal(err)
	}
	w.src, w.dst = macOf(t, w.a, "eth0"), macOf(t, w.b, "eth0")
	w.from = openGroup(t, w.a, afpacket.Config{Workers: 1}).Ports()[0]
	w.group = openGroup(t, w.b, afpacket.Config{Workers: 1, Shape: way.Shape, Memory: way.Good()})
	w.to = w.group.Ports()[0]
	if way.afxdp {
		w.from, w.to = byAFXDP(t, w.a, w.from), byAFXDP(t, w.b, w.to)
	}
	if err := w.group.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// byAFXDP has a port on a host's eth0 send by AF_XDP.
func byAFXDP(t *testing.T, h *netlab.Host, p forwarding.Port) forwarding.Port {
	t.Helper()
	link, _ := p.Link()
	var q *afxdp.Queue
	if err := h.Do(func() (err error) {
		q, err = afxdp.Open(afxdp.DefaultConfig(link, 0, 1500))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	x := q.Sender(0).Port(p)
	t.Cleanup(func() {
		if err := errors.Join(x.Close(), q.Close()); err != nil {
			t.Error(err)
		}
	})
	return x
}

// openGroup opens a group on a host's eth0.
func openGroup(t *testing.T, h *netlab.Host, c afpacket.Config) *afpacket.Group {
	t.Helper()
	g, err := tryOpen(h, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func tryOpen(h *netlab.Host, c afpacket.Config) (g *afpacket.Group, err error) {
	err = h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c.Link, c.MAC = ifi.Index, wire.MAC(ifi.HardwareAddr)
		g, err = afpacket.Open(c)
		return err
	})
	return g, err
}

// frame makes the next frame: UDP with a sequence number in its payload.
func (w *wireBetween) frame(payload int) []byte {
	f := make([]byte, 14+20+8+max(payload, 4))
	copy(f, w.dst)
	copy(f[6:], w.src)
	binary.BigEndian.PutUint16(f[12:], wire.EtherTypeIPv4)
	ip := wire.IPv4(f[14:34])
	ip[0], ip[8], ip[9] = 0x45, 64, wire.ProtoUDP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(f)-14))
	copy(ip[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	ip.SetChecksum(wire.Checksum(ip))
	binary.BigEndian.PutUint16(f[34:], 1000)
	binary.BigEndian.PutUint16(f[36:], 2000)
	binary.BigEndian.PutUint16(f[38:], uint16(len(f)-34))
	for i := 46; i < len(f); i++ {
		f[i] = byte(i) ^ byte(w.seq)
	}
	binary.BigEndian.PutUint32(f[42:], w.seq)
	w.seq++
	return f
}

// send sends n frames and returns them.
func (w *wireBetween) send(n, payload int) [][]byte {
	w.t.Helper()
	sent := make([][]byte, n)
	fs := make([]forwarding.Frame, n)
	for i := range sent {
		sent[i] = w.frame(payload)
		fs[i] = forwarding.Frame{Data: bytes.Clone(sent[i])}
	}
	if k, err := w.from.Send(fs); k != n || err != nil {
		w.t.Fatalf("sent %d of %d frames: %v", k, n, err)
	}
	return sent
}

// take waits for a batch of up to most frames, which is not released.
func (w *wireBetween) take(most int) []forwarding.Frame {
	w.t.Helper()
	fs := make([]forwarding.Frame, most)
	n := 0
	labtest.Eventually(w.t, labtest.Hang, func() (err error) {
		if n, err = w.to.Recv(fs); err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return errors.New("no frame came")
		}
		return nil
	})
	return fs[:n]
}

// want receives exactly these frames, in batches of up to 64, and releases them.
func (w *wireBetween) want(sent [][]byte) {
	w.t.Helper()
	for len(sent) > 0 {
		fs := w.take(64)
		for i := range fs {
			if len(sent) == 0 {
				w.t.Fatalf("a frame of %d bytes too many", len(fs[i].Data))
			}
			if !bytes.Equal(fs[i].Data, sent[0]) {
				w.t.Fatalf("got %d bytes with number %d, want %d bytes with number %d",
					len(fs[i].Data), number(fs[i].Data), len(sent[0]), number(sent[0]))
			}
			if fs[i].Vnet != nil == w.shape.Plain {
				w.t.Errorf("virtio_net_hdr %v", fs[i].Vnet)
			}
			sent = sent[1:]
		}
		w.to.Release(fs)
	}
}

// nothing wants no frame to come while another one would have had the time to.
func (w *wireBetween) nothing() {
	w.t.Helper()
	other := openGroup(w.t, w.b, afpacket.Config{Workers: 1, Shape: w.shape, Memory: w.shape.Good()})
	if err := other.Start(); err != nil {
		w.t.Fatal(err)
	}
	defer other.Close()
	control := *w
	control.group, control.to = other, other.Ports()[0]
	control.want(control.send(1, 100))
	w.seq = control.seq
	fs := make([]forwarding.Frame, 64)
	if n, err := w.to.Recv(fs); n != 0 || err != nil {
		w.t.Fatalf("%d frames came: %v", n, err)
	}
}

func number(frame []byte) int {
	if len(frame) < 46 {
		return -1
	}
	return int(binary.BigEndian.Uint32(frame[42:]))
}

func keepsOrder(t *testing.T, w *wireBetween) {
	sizes := []int{4, 1472, 60, 1000, 18}
	for round := range 40 { // several times around any ring
		sent := w.send(20, sizes[round%len(sizes)])
		w.want(sent)
	}
	if s := w.to.Stats(); s.Received != 800 || s.RingDrops != 0 {
		t.Errorf("%d frames received, %d dropped; want 800, 0", s.Received, s.RingDrops)
	}
}

// keepsMixedOrder: frames of several segments between others, which may go another way, come
// where they were sent.
func keepsMixedOrder(t *testing.T, w *wireBetween) {
	var sent []int
	var fs []forwarding.Frame
	for i := range 60 {
		if i%7 < 2 || i%11 == 0 {
			f := forwarding.Frame{Data: tcpFrame(w.src, w.dst, 3000), Vnet: gsoHeader()}
			binary.BigEndian.PutUint16(f.Data[38:], uint16(i)) // sequence number's first half
			fs = append(fs, f)
		} else {
			fs = append(fs, forwarding.Frame{Data: w.frame(100)})
			binary.BigEndian.PutUint16(fs[i].Data[38:], uint16(i))
		}
		sent = append(sent, i)
	}
	if n, err := w.from.Send(fs); n != len(fs) || err != nil {
		t.Fatalf("sent %d of %d frames: %v", n, len(fs), err)
	}
	var got []int
	for len(got) < len(sent) {
		batch := w.take(64)
		for _, f := range batch {
			got = append(got, int(binary.BigEndian.Uint16(f.Data[38:])))
		}
		w.to.Release(batch)
	}
	if !slices.Equal(got, sent) {
		t.Errorf("frames came as %v", got)
	}
}

// takesGSO: a frame of several segments comes whole with its virtio_net_hdr. A plain port
// cannot say so: it hands out what fits, whose IP length tells Decode, and goes on.
func takesGSO(t *testing.T, w *wireBetween) {
	for _, payload := range []int{2000, 65535 - 14 - 40} {
		data := tcpFrame(w.src, w.dst, payload)
		vnet := gsoHeader()
		if n, err := w.from.Send([]forwarding.Frame{{Data: bytes.Clone(data), Vnet: bytes.Clone(vnet)}}); n != 1 {
			t.Fatal(err)
		}
		fs := w.take(1)
		f := fs[0]
		switch {
		case w.shape.Plain && w.shape.Receive != afpacket.TPacketV3:
			if n := len(f.Data); n >= len(data) || n < w.shape.MaxFrame {
				t.Errorf("%d bytes of %d came; want at least a whole frame's and less than all", n, len(data))
			}
			if !bytes.Equal(f.Data, data[:len(f.Data)]) {
				t.Error("other bytes than were sent")
			}
		case !bytes.Equal(f.Data, data):
			t.Errorf("%d bytes came that differ from the %d sent", len(f.Data), len(data))
		case w.shape.Plain: // the room is there, only the description is missing
		case !f.Vnet.GSO() || f.Vnet.ChecksumAt() != 50 || binary.NativeEndian.Uint16(f.Vnet[4:]) != 1400:
			t.Errorf("virtio_net_hdr %v came, want %v", f.Vnet, vnet)
		}
		w.to.Release(fs)
		w.want(w.send(3, 100))
	}
}

// takesManyLong: long frames that come faster than they are taken, between short ones, keep
// their order and bytes. What there is no room for is cut short or dropped, and then it goes on.
func takesManyLong(t *testing.T, w *wireBetween) {
	if w.shape.Plain {
		return // knows none
	}
	const rounds, each = 40, 10
	var sent [][]byte
	for range rounds {
		var fs []forwarding.Frame
		for i := range each {
			f := forwarding.Frame{Data: w.frame(100)}
			if i%3 == 0 {
				long := tcpFrame(w.src, w.dst, 20000)
				copy(long[42:46], f.Data[42:46]) // the number
				f = forwarding.Frame{Data: long, Vnet: gsoHeader()}
			}
			sent = append(sent, bytes.Clone(f.Data))
			fs = append(fs, f)
		}
		if n, err := w.from.Send(fs); n != each || err != nil {
			t.Fatalf("sent %d of %d frames: %v", n, each, err)
		}
	}
	first, whole, cut := number(sent[0]), 0, 0
	last := first - 1
	fs := make([]forwarding.Frame, 64)
	labtest.Eventually(t, labtest.Hang, func() error {
		n, err := w.to.Recv(fs)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs[:n] {
			i := number(f.Data)
			if i <= last {
				t.Fatalf("number %d after %d", i, last)
			}
			last = i
			if n := len(f.Front); cap(f.Front) < n+len(f.Data) || &f.Front[:n+1][n] != &f.Data[0] {
				t.Fatalf("number %d: Front of %d bytes, %d with what follows, does not end before the %d of Data", i, n, cap(f.Front), len(f.Data))
			}
			want := sent[i-first]
			switch {
			case bytes.Equal(f.Data, want):
				whole++
			case len(f.Data) < len(want) && bytes.Equal(f.Data, want[:len(f.Data)]):
				cut++
			default:
				t.Fatalf("number %d came with other bytes than were sent", i)
			}
		}
		w.to.Release(fs[:n])
		if got := uint64(whole+cut) + w.to.Stats().RingDrops; got != rounds*each {
			return fmt.Errorf("%d frames came whole, %d cut, %d were dropped; %d were sent", whole, cut, w.to.Stats().RingDrops, rounds*each)
		}
		return nil
	})
	if whole < each {
		t.Errorf("only %d frames came whole", whole)
	}
	w.want(w.send(3, 100))
}

func gsoHeader() forwarding.VnetHeader {
	vnet := make(forwarding.VnetHeader, forwarding.VnetLen)
	vnet[0], vnet[1] = 1, 1 // NEEDS_CSUM, GSO_TCPV4
	for i, v := range []uint16{14 + 20 + 20, 1400, 14 + 20, 16} {
		binary.NativeEndian.PutUint16(vnet[2+2*i:], v)
	}
	return vnet
}

// takesPartialChecksum: whoever gets a frame learns that its checksum is unfinished, also
// without a virtio_net_hdr from the kernel; and when it is sent on, it arrives finished.
func takesPartialChecksum(t *testing.T, w *wireBetween) {
	data := tcpFrame(w.src, w.dst, 100)
	vnet := make(forwarding.VnetHeader, forwarding.VnetLen)
	vnet[0] = 1
	binary.NativeEndian.PutUint16(vnet[6:], 34)
	binary.NativeEndian.PutUint16(vnet[8:], 16)
	leaves := openGroup(t, w.a, afpacket.Config{Workers: 1}).Ports()[0] // AF_XDP would finish it
	if n, err := leaves.Send([]forwarding.Frame{{Data: bytes.Clone(data), Vnet: vnet}}); n != 1 {
		t.Fatal(err)
	}
	fs := w.take(1)
	if f := fs[0]; !f.Vnet.NeedsChecksum() || f.Vnet.GSO() || f.Vnet.ChecksumAt() != 50 || !bytes.Equal(f.Data, data) {
		t.Errorf("virtio_net_hdr %v came with %d bytes, want an unfinished checksum at 50", f.Vnet, len(f.Data))
	}
	// Sent on, back to a, where the kernel has to finish it.
	if err := w.b.SetOffload("eth0", netlab.OffloadTX, false); err != nil {
		t.Fatal(err)
	}
	back := openGroup(t, w.a, afpacket.Config{Workers: 1, Shape: w.shape, Memory: w.shape.Good()})
	if err := back.Start(); err != nil {
		t.Fatal(err)
	}
	wire.Ethernet(fs[0].Data).SetAddresses(wire.MAC(w.src), wire.MAC(w.dst))
	if n, err := w.to.Send(fs); n != 1 {
		t.Fatal(err)
	}
	w.to.Release(fs)
	other := *w
	other.group, other.to = back, back.Ports()[0]
	fs = other.take(1)
	ip := wire.IPv4(fs[0].Data[14:34])
	tcp := fs[0].Data[34:]
	if sum := wire.Sum(tcp, wire.PseudoHeaderSum(ip.Source(), ip.Destination(), wire.ProtoTCP, len(tcp))); sum != 0xffff || fs[0].Vnet.NeedsChecksum() {
		t.Errorf("sent on, the checksum is off by %#04x, virtio_net_hdr %v", ^sum, fs[0].Vnet)
	}
	other.to.Release(fs)
}

func keepsVLANTags(t *testing.T, w *wireBetween) {
	for _, tag := range []forwarding.VLANTag{{}, {TPID: 0x8100, TCI: 7}, {TPID: 0x8100, TCI: 5<<13 | 4094}, {TPID: 0x8100}, {TPID: 0x88a8, TCI: 12}} {
		data := w.frame(500)
		if n, err := w.from.Send([]forwarding.Frame{{Data: bytes.Clone(data), VLAN: tag}}); n != 1 {
			t.Fatal(err)
		}
		fs := w.take(1)
		if fs[0].VLAN != tag || !bytes.Equal(fs[0].Data, data) {
			t.Errorf("tag %04x with %d bytes came, want %04x with the %d sent", fs[0].VLAN, len(fs[0].Data), tag, len(data))
		}
		w.to.Release(fs)
	}
}

// countsDrops: nobody receives for a while. What fits comes in order, the rest is counted,
// and then it goes on.
func countsDrops(t *testing.T, w *wireBetween) {
	const total = 3000
	first := int(w.seq)
	for range total / 50 {
		w.send(50, 1000)
	}
	labtest.Eventually(t, labtest.Hang, func() error {
		if w.to.Stats().RingDrops == 0 {
			return errors.New("nothing was dropped")
		}
		return nil
	})
	last, got := first-1, 0
	fs := make([]forwarding.Frame, 64)
	labtest.Eventually(t, labtest.Hang, func() error {
		for {
			n, err := w.to.Recv(fs)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			for _, f := range fs[:n] {
				if number(f.Data) <= last {
					t.Fatalf("number %d after %d", number(f.Data), last)
				}
				last = number(f.Data)
			}
			got += n
			w.to.Release(fs[:n])
		}
		if s := w.to.Stats(); s.Received != uint64(got) || s.Received+s.RingDrops != total {
			return fmt.Errorf("%d frames came of which Stats knows %d, %d were dropped, %d were sent", got, s.Received, s.RingDrops, total)
		}
		return nil
	})
	if slots := w.to.Stats().Slots; got < slots {
		t.Errorf("%d frames came, which is less than the %d that fit", got, slots)
	}
	w.want(w.send(20, 1000))
}

// keepsFrames: frames that are not released keep their bytes whatever comes after them, and
// what is released first can be used first.
func keepsFrames(t *testing.T, w *wireBetween) {
	sent := w.send(8, 1000)
	var held [][]forwarding.Frame
	n := 0
	for n < len(sent) {
		fs := w.take(3)
		held = append(held, fs)
		n += len(fs)
	}
	for range 10 { // more than there is room for
		w.send(50, 1000)
	}
	fs := make([]forwarding.Frame, 64)
	for { // none of these may lie where the held ones do
		n, err := w.to.Recv(fs)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		held = append(held, slices.Clone(fs[:n]))
	}
	last := -1
	for i, f := range slices.Concat(held...) {
		if i < len(sent) && !bytes.Equal(f.Data, sent[i]) {
			t.Fatalf("held frame %d has other bytes than were sent: number %d", i, number(f.Data))
		}
		if number(f.Data) <= last {
			t.Fatalf("number %d after %d", number(f.Data), last)
		}
		last = number(f.Data)
	}
	for _, fs := range held {
		w.to.Release(fs)
	}
	w.drain()
	w.want(w.send(20, 1000))
}

// drain receives until nothing has come for the time that a frame takes.
func (w *wireBetween) drain() {
	w.t.Helper()
	mark := number(w.send(1, 4)[0])
	for {
		fs := w.take(64)
		last := number(fs[len(fs)-1].Data)
		w.to.Release(fs)
		if last == mark {
			return
		}
		if s := w.to.Stats(); last > mark || s.RingDrops > 0 && w.empty() {
			mark = number(w.send(1, 4)[0]) // the mark found no room
		}
	}
}

func (w *wireBetween) empty() bool {
	fds := []unix.PollFd{{Fd: int32(w.to.FD()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 20)
	return n == 0 && err == nil
}

func startsAndStops(t *testing.T, w *wireBetween) {
	waiting := w.send(3, 100)
	labtest.Eventually(t, labtest.Hang, func() error {
		if w.empty() {
			return errors.New("nothing came")
		}
		return nil
	})
	if err := w.group.Stop(); err != nil {
		t.Fatal(err)
	}
	w.want(waiting)
	w.send(3, 100)
	w.nothing()
	if err := w.group.Start(); err != nil {
		t.Fatal(err)
	}
	w.want(w.send(3, 100))

	fresh := openGroup(t, w.b, afpacket.Config{Workers: 1, Shape: w.shape, Memory: w.shape.Good()})
	notYet := *w
	notYet.group, notYet.to = fresh, fresh.Ports()[0]
	notYet.send(3, 100)
	notYet.nothing()
}

func ignoresOwnFrames(t *testing.T, w *wireBetween) {
	f := w.frame(100)
	wire.Ethernet(f).SetAddresses(wire.MAC(w.dst), wire.MAC(w.dst)) // even to ourselves
	if n, err := w.to.Send([]forwarding.Frame{{Data: f}}); n != 1 {
		t.Fatal(err)
	}
	w.want(w.send(1, 100)) // and nothing before it
}

// outlivesLinkDown: going down is an error of the descriptor once, poll is quiet after it
// was taken, and frames come again with the link.
func outlivesLinkDown(t *testing.T, w *wireBetween) {
	w.want(w.send(3, 100))
	if err := w.b.SetDown("eth0"); err != nil {
		t.Fatal(err)
	}
	fds := []unix.PollFd{{Fd: int32(w.to.FD()), Events: unix.POLLIN}}
	labtest.Eventually(t, labtest.Hang, func() error {
		if _, err := unix.Poll(fds, 100); err != nil {
			return err
		}
		if fds[0].Revents&unix.POLLERR == 0 {
			return fmt.Errorf("poll reports %#x, want POLLERR", fds[0].Revents)
		}
		return nil
	})
	if n, err := w.to.Recv(make([]forwarding.Frame, 8)); n != 0 || err != nil {
		t.Errorf("Recv returned %d, %v while the link is down", n, err)
	}
	if err := w.to.Err(); err != nil && !errors.Is(err, unix.ENETDOWN) { // recvmmsg has taken it
		t.Errorf("the error is %v, want %v", err, unix.ENETDOWN)
	}
	if n, err := unix.Poll(fds, 50); n != 0 || err != nil {
		t.Errorf("after the error was taken poll reports %#x (%v), want nothing", fds[0].Revents, err)
	}
	if n, err := w.to.Send([]forwarding.Frame{{Data: w.frame(100)}, {Data: w.frame(100)}}); n != 0 || !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("sent %d, %v while the link is down, want 0, %v", n, err, unix.ENETDOWN)
	}
	if err := w.b.SetUp("eth0"); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, labtest.Hang, func() error { // the other end drops until it knows
		if w.send(1, 100); w.empty() {
			return errors.New("nothing came")
		}
		return nil
	})
	w.drain()
	w.want(w.send(3, 100))
	if s := w.to.Stats(); s.SendErrors != 2 || !errors.Is(s.SendError, unix.ENETDOWN) {
		t.Errorf("%d frames were refused, the last with %v; want 2, %v", s.SendErrors, s.SendError, unix.ENETDOWN)
	}
}

func closes(t *testing.T, w *wireBetween) {
	w.want(w.send(3, 100))
	before := openDescriptors(t)
	g := openGroup(t, w.b, afpacket.Config{Workers: 3, Shape: w.shape, Memory: w.shape.Good(), Receivers: 2})
	if n := len(g.Ports()); n != 3 || g.Ports()[2].FD() != -1 || g.Ports()[1].FD() < 0 {
		t.Fatalf("%d ports, the second with descriptor %d and the last with %d; want 3, only the last with -1",
			n, g.Ports()[1].FD(), g.Ports()[2].FD())
	}
	for i, p := range g.Ports() {
		select {
		case <-g.Closed():
			t.Fatalf("closed with %d ports left", 3-i)
		default:
		}
		for range 2 {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := p.Recv(make([]forwarding.Frame, 1)); i < 2 && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Recv of a closed port returns %v, want %v", err, net.ErrClosed)
		}
	}
	<-g.Closed()
	if err := errors.Join(g.Start(), g.Stop()); err != nil {
		t.Errorf("a closed group: %v", err)
	}
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	if err := w.to.Close(); err != nil {
		t.Error(err)
	}
	if s := w.to.Stats(); s.Received != 3 || s.RingBytes == 0 {
		t.Errorf("after Close: %+v", s)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func allocatesNothing(t *testing.T, w *wireBetween) {
	if raceEnabled {
		return // the detector allocates
	}
	out := []forwarding.Frame{{Data: w.frame(100)}, {Data: w.frame(1000), VLAN: forwarding.VLANTag{TPID: 0x8100, TCI: 3}}}
	fs := make([]forwarding.Frame, 64)
	got := 0
	if allocs := testing.AllocsPerRun(100, func() {
		w.from.Send(out) //nolint:errcheck // what does not go is not counted below
		n, err := w.to.Recv(fs)
		if err != nil {
			t.Fatal(err)
		}
		w.to.Release(fs[:n])
		got += n
	}); allocs != 0 {
		t.Errorf("%v allocations a batch, want 0", allocs)
	}
	if got == 0 && w.shape.Receive != afpacket.TPacketV3 { // whose blocks come later
		t.Error("nothing was received")
	}
}
