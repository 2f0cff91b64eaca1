//go:build netns

package afxdp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/forwarding/afxdp"
	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/wire"
)

// receiveChunks is how many frames the receivers of these tests have room for.
const receiveChunks = 128

// A diverted is a veth pair: what from sends is redirected to the receiver of b's queue.
type diverted struct {
	t        *testing.T
	b        *netlab.Host
	src, dst wire.MAC
	from     forwarding.Port
	queue    *afxdp.Queue
	to       *afxdp.Receiver
	seq      uint32 // of the next frame
}

func newDiverted(t *testing.T) *diverted {
	t.Helper()
	site := labtest.New(t)
	a, b := labtest.Host(t, site, "a"), labtest.Host(t, site, "b")
	if err := site.Connect(a, "eth0", b, "eth0"); err != nil {
		t.Fatal(err)
	}
	w := &diverted{t: t, b: b}
	wireA := &wireBetween{t: t, a: a, b: b}
	w.from = wireA.group(a, afpacket.Config{Workers: 1}).Ports()[0]
	_, w.src = w.from.Link()
	if err := b.Do(w.open); err != nil {
		t.Fatal(err)
	}
	return w
}

// open takes the queue and attaches a program that redirects all of IPv4 to it: hosts speak IPv6
// by themselves.
func (w *diverted) open() error {
	ifi, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	w.dst = wire.MAC(ifi.HardwareAddr)
	c := afxdp.DefaultConfig(ifi.Index, 0, 1500)
	c.Chunks, c.Receive, c.Unfinished, c.MAC = 64, receiveChunks, true, w.dst
	if w.queue, err = afxdp.Open(c); err != nil {
		return err
	}
	w.to = w.queue.Receiver()
	w.t.Cleanup(func() {
		if err := errors.Join(w.to.Close(), w.queue.Close()); err != nil {
			w.t.Error(err)
		}
	})
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return err
	}
	w.t.Cleanup(func() { sockets.Close() })
	if err := sockets.Put(uint32(0), uint32(w.queue.FD())); err != nil {
		return err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Imm(asm.R0, 2), // XDP_PASS
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, wire.EthernetLen), asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, 12, asm.Half), asm.HostTo(asm.BE, asm.R4, asm.Half), asm.JNE.Imm(asm.R4, wire.EtherTypeIPv4, "pass"),
		asm.LoadMapPtr(asm.R1, sockets.FD()), asm.Mov.Imm(asm.R2, 0), asm.Mov.Imm(asm.R3, 1), asm.FnRedirectMap.Call(),
		asm.Return().WithSymbol("pass"),
	}})
	if err != nil {
		return err
	}
	w.t.Cleanup(func() { prog.Close() })
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifi.Index, Flags: link.XDPDriverMode})
	if err == nil {
		w.t.Cleanup(func() { l.Close() })
	}
	return err
}

// frame makes the next frame: UDP over IPv4 without a checksum, with a number in its payload.
func (w *diverted) frame(payload int) []byte {
	f := make([]byte, wire.EthernetLen+wire.IPv4Len+8+max(payload, 4))
	wire.Ethernet(f).SetAddresses(w.dst, w.src)
	binary.BigEndian.PutUint16(f[12:], wire.EtherTypeIPv4)
	ip := wire.IPv4(f[14:34])
	ip[0], ip[8], ip[9] = 0x45, 64, wire.ProtoUDP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(f)-14))
	copy(ip[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	ip.SetChecksum(wire.Checksum(ip))
	binary.BigEndian.PutUint16(f[38:], uint16(len(f)-34))
	for i := 46; i < len(f); i++ {
		f[i] = byte(i) ^ byte(w.seq)
	}
	binary.BigEndian.PutUint32(f[42:], w.seq)
	w.seq++
	return f
}

// send sends n frames and returns them.
func (w *diverted) send(n, payload int) (sent [][]byte) {
	w.t.Helper()
	fs := make([]forwarding.Frame, n)
	for i := range fs {
		fs[i].Data = w.frame(payload)
		sent = append(sent, bytes.Clone(fs[i].Data))
	}
	if k, err := w.from.Send(fs); k != n {
		w.t.Fatalf("sent %d of %d frames: %v", k, n, err)
	}
	return sent
}

// take waits for frames, which are not released.
func (w *diverted) take(most int) []forwarding.Frame {
	w.t.Helper()
	fs, n := make([]forwarding.Frame, most), 0
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

// want receives exactly these frames and releases them.
func (w *diverted) want(sent [][]byte) {
	w.t.Helper()
	for len(sent) > 0 {
		fs := w.take(64)
		for i := range fs {
			f := &fs[i]
			if len(sent) == 0 || !bytes.Equal(f.Data, sent[0]) || f.Vnet != nil {
				w.t.Fatalf("a frame of %d bytes with virtio_net_hdr %v, %d were to come", len(f.Data), f.Vnet, len(sent))
			}
			if n := len(f.Front); n < 64 || cap(f.Front) < n+len(f.Data) || &f.Front[:n+1][n] != &f.Data[0] {
				w.t.Fatalf("Front of %d bytes, %d with what follows, does not end before the %d of Data", n, cap(f.Front), len(f.Data))
			}
			sent = sent[1:]
		}
		w.to.Release(fs)
	}
}

// TestReceiver holds the port of diverted frames to the promises of forwarding.Port.
func TestReceiver(t *testing.T) {
	for name, run := range map[string]func(*testing.T, *diverted){
		"order": func(t *testing.T, w *diverted) {
			for round := range 40 { // several times around the ring
				w.want(w.send(20, []int{4, 1472, 60, 1000, 18}[round%5]))
			}
			if s := w.to.Stats(); s.Received != 800 || s.RingDrops != 0 || s.Slots != receiveChunks {
				t.Errorf("%+v; want 800 frames received", s)
			}
		},
		"frames stay until released, what finds no room is counted": staysAndCounts,
		"unfinished checksum": describesUnfinished,
		"link down and up": func(t *testing.T, w *diverted) {
			w.want(w.send(3, 100))
			if err := errors.Join(w.b.SetDown("eth0"), w.b.SetUp("eth0")); err != nil {
				t.Fatal(err)
			}
			fds := []unix.PollFd{{Fd: int32(w.to.FD()), Events: unix.POLLIN}}
			labtest.Eventually(t, labtest.Hang, func() error { // carrier takes a moment
				w.send(1, 100)
				if n, err := unix.Poll(fds, 20); err != nil || n == 0 || fds[0].Revents != unix.POLLIN {
					return errors.Join(fmt.Errorf("poll reports %d with %#x", n, fds[0].Revents), err)
				}
				return w.to.Err()
			})
			w.drain()
			w.want(w.send(3, 100))
		},
		"send": func(t *testing.T, w *diverted) {
			fs := []forwarding.Frame{{Data: w.frame(100)}}
			if n, err := w.to.Send(fs); n != 0 || err == nil || !fs[0].Refused {
				t.Errorf("sent %d, %v; want it refused", n, err)
			}
		},
		"close": func(t *testing.T, w *diverted) {
			w.want(w.send(3, 100))
			if err := errors.Join(w.to.Close(), w.to.Close()); err != nil {
				t.Error(err)
			}
			if _, err := w.to.Recv(make([]forwarding.Frame, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Recv of a closed port returns %v, want %v", err, net.ErrClosed)
			}
			if s := w.to.Stats(); s.Received != 3 || s.RingBytes == 0 {
				t.Errorf("after Close: %+v", s)
			}
		},
		"no allocations": func(t *testing.T, w *diverted) {
			out, fs, got := []forwarding.Frame{{Data: w.frame(100)}, {Data: w.frame(1000)}}, make([]forwarding.Frame, 64), 0
			allocs := testing.AllocsPerRun(100, func() {
				w.from.Send(out) //nolint:errcheck // what does not go is not counted below
				n, err := w.to.Recv(fs)
				if err != nil {
					t.Fatal(err)
				}
				w.to.Release(fs[:n])
				got += n
			})
			if allocs != 0 && !raceEnabled || got == 0 {
				t.Errorf("%v allocations a batch with %d frames in all, want 0", allocs, got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { run(t, newDiverted(t)) })
	}
}

// drain receives until a frame has come that was sent now.
func (w *diverted) drain() {
	w.t.Helper()
	last := w.send(1, 4)[0]
	for done := false; !done; {
		fs := w.take(64)
		done = slices.ContainsFunc(fs, func(f forwarding.Frame) bool { return bytes.Equal(f.Data, last) })
		w.to.Release(fs)
	}
}

// staysAndCounts: frames that are not released keep their bytes whatever comes after them, and
// all others are received in order or counted.
func staysAndCounts(t *testing.T, w *diverted) {
	sent := w.send(8, 1000)
	var held []forwarding.Frame
	for len(held) < len(sent) {
		held = append(held, w.take(3)...)
	}
	const more = 10 * 50
	first := w.seq
	for range more / 50 {
		w.send(50, 1000)
	}
	got, last := uint64(0), first-1
	fs := make([]forwarding.Frame, 64)
	labtest.Eventually(t, labtest.Hang, func() error {
		n, err := w.to.Recv(fs)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs[:n] {
			if i := binary.BigEndian.Uint32(f.Data[42:]); i <= last {
				t.Fatalf("number %d after %d", i, last)
			} else {
				last = i
			}
		}
		w.to.Release(fs[:n])
		if got += uint64(n); got+w.to.Stats().RingDrops != more {
			return fmt.Errorf("%d frames came, %d were dropped; %d were sent", got, w.to.Stats().RingDrops, more)
		}
		return nil
	})
	if got < receiveChunks-8 {
		t.Errorf("%d frames came, %d had room", got, receiveChunks-8)
	}
	for i, f := range held {
		if !bytes.Equal(f.Data, sent[i]) {
			t.Errorf("held frame %d has other bytes than were sent", i)
		}
	}
	w.to.Release(held)
	w.want(w.send(20, 1000))
}

// describesUnfinished: who gets a frame learns that its sender's kernel left the checksum to a
// device that does not exist.
func describesUnfinished(t *testing.T, w *diverted) {
	data := w.frame(100)
	ip := wire.IPv4(data[14:34])
	binary.BigEndian.PutUint16(data[40:], wire.PseudoHeaderSum(ip.Source(), ip.Destination(), wire.ProtoUDP, len(data)-34))
	vnet := make(forwarding.VnetHeader, forwarding.VnetLen)
	vnet[0] = 1
	binary.NativeEndian.PutUint16(vnet[6:], 34)
	binary.NativeEndian.PutUint16(vnet[8:], 6)
	if n, err := w.from.Send([]forwarding.Frame{{Data: bytes.Clone(data), Vnet: vnet}}); n != 1 {
		t.Fatal(err)
	}
	fs := w.take(1)
	if f := fs[0]; !f.Vnet.NeedsChecksum() || f.Vnet.GSO() || f.Vnet.ChecksumStart() != 34 || f.Vnet.ChecksumAt() != 40 || !bytes.Equal(f.Data, data) {
		t.Errorf("virtio_net_hdr %v came with %d bytes, want an unfinished checksum at 40", f.Vnet, len(f.Data))
	}
	w.to.Release(fs)
}
