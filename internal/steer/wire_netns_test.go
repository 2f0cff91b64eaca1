//go:build netns

package steer_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/steer"
)

// etherTypeMarker is that of local experiments (IEEE 802): no backend steers it.
const etherTypeMarker = 0x88b5

// A wire leads frames through the steering of a host: they are injected at a peer and
// whatever steering lets pass is sent on to a sink instead of the stack. Each frame has
// its number in the source address.
type wire struct {
	director *netlab.Host
	link     *net.Interface // the director's, where rules apply
	in, out  *packet.Conn
	inStack  bool // frames are not diverted but noted
}

// newWire builds a wire for the backends. Frames are diverted by a table of someone else,
// behind ours. For iptables, which only meets what the stack takes up, that table is behind
// its own, and notes where frames come from.
func newWire(t testing.TB, backends ...steer.Backend) *wire {
	t.Helper()
	site := labtest.New(t)
	w := &wire{director: labtest.Host(t, site, "director"), inStack: slices.Contains(backends, steer.Iptables)}
	peer, sink := labtest.Host(t, site, "peer"), labtest.Host(t, site, "sink")
	for ifname, h := range map[string]*netlab.Host{"eth0": peer, "eth1": sink} {
		if err := site.Connect(w.director, ifname, h, "eth0"); err != nil {
			t.Fatal(err)
		}
		for end, on := range map[*netlab.Host]string{w.director: ifname, h: "eth0"} {
			if !w.inStack || end != w.director {
				if err := end.Sysctl("net/ipv6/conf/"+on+"/disable_ipv6", "1"); err != nil {
					t.Fatal(err)
				}
			}
			if err := end.SetMTU(on, 9000); err != nil {
				t.Fatal(err)
			}
		}
	}
	if w.inStack {
		labtest.Run(t, w.director, "nft", `table inet sink {
			set seen { type ether_addr; flags dynamic; size 65535; }
			chain note { type filter hook prerouting priority -250; iifname "eth0" add @seen { ether saddr } drop; }
		}`)
	} else {
		labtest.Run(t, w.director, "nft", `table netdev sink {
			chain divert { type filter hook ingress device "eth0" priority 0; fwd to "eth1"; }
		}`)
	}
	w.link = device(t, w.director, "eth0")
	w.in, w.out = listen(t, peer), listen(t, sink)
	return w
}

// listen opens a packet socket on the host's eth0.
func listen(t testing.TB, h *netlab.Host) *packet.Conn {
	t.Helper()
	const all = 0x0003 // ETH_P_ALL
	ifi := device(t, h, "eth0")
	var c *packet.Conn
	inside(t, h, func() (err error) {
		c, err = packet.Listen(ifi, packet.Raw, all, nil)
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// inject sends a frame with the given number.
func (w *wire) inject(t testing.TB, frame []byte, number uint32) {
	t.Helper()
	frame[6], frame[7] = 2, 0
	binary.BigEndian.PutUint32(frame[8:], number)
	if _, err := w.in.WriteTo(frame, &packet.Addr{HardwareAddr: w.link.HardwareAddr}); err != nil {
		t.Fatal(err)
	}
}

// passed sends a last frame with the given number that nobody steers, and returns the
// numbers of those that came through before it.
func (w *wire) passed(t testing.TB, last uint32) map[uint32]bool {
	t.Helper()
	if w.inStack {
		return w.noted(t, last)
	}
	marker := make([]byte, 60)
	copy(marker, w.link.HardwareAddr)
	binary.BigEndian.PutUint16(marker[12:], etherTypeMarker)
	w.inject(t, marker, last)
	numbers := make(map[uint32]bool)
	b := make([]byte, 10000)
	if err := w.out.SetReadDeadline(time.Now().Add(labtest.Hang)); err != nil {
		t.Fatal(err)
	}
	for {
		n, _, err := w.out.ReadFrom(b)
		if err != nil {
			t.Fatalf("frame %d did not come through, after %d others: %v", last, len(numbers), err)
		}
		if n < 14 {
			continue
		}
		number := binary.BigEndian.Uint32(b[8:])
		if number == last {
			return numbers
		}
		numbers[number] = true
	}
}

// noted is passed for frames that are noted in the stack.
func (w *wire) noted(t testing.TB, last uint32) map[uint32]bool {
	t.Helper()
	marker := flow{to: w.link.HardwareAddr, src: addrPort("203.0.113.9:9"), dst: addrPort("203.0.113.1:9"), proto: udp}
	w.inject(t, marker.frame(t), last)
	numbers := make(map[uint32]bool)
	labtest.Eventually(t, labtest.Hang, func() error {
		for _, m := range macPattern.FindAllString(labtest.Run(t, w.director, "nft", "list", "set", "inet", "sink", "seen"), -1) {
			mac, err := net.ParseMAC(m)
			if err != nil {
				return err
			}
			numbers[binary.BigEndian.Uint32(mac[2:])] = true
		}
		if !numbers[last] {
			return fmt.Errorf("frame %d did not come through, after %d others", last, len(numbers))
		}
		return nil
	})
	labtest.Run(t, w.director, "nft", "flush", "set", "inet", "sink", "seen")
	delete(numbers, last)
	return numbers
}

var macPattern = regexp.MustCompile(`02:00(:[0-9a-f]{2}){4}`)

// reaches reports whether a frame comes as far as the backend looks, and the sink after it:
// the stack discards some before iptables does, and iptables takes two kinds that the others
// leave to the stack; see [steer.Iptables].
func (w *wire) reaches(f flow, frame steer.Frame) bool {
	if !w.inStack {
		return true
	}
	unusual := slices.ContainsFunc(f.exts, func(e ext) bool { return e.kind == hopByHop || e.kind == auth })
	return frame.Host && !frame.Tagged && !unusual
}

// tag puts a VLAN tag into a frame.
func tag(frame []byte, etherType uint16) []byte {
	tagged := append([]byte(nil), frame[:12]...)
	tagged = binary.BigEndian.AppendUint16(tagged, etherType)
	tagged = binary.BigEndian.AppendUint16(tagged, 100)
	return append(tagged, frame[12:]...)
}

// TestDropsOnTheWire sends random frames through the hooks of a real device.
func TestDropsOnTheWire(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		const seed, bursts, burst = 7, 60, 50
		w := newWire(t, b)
		rules := testRules(w.link.Index)
		apply(t, w.director, open(t, w.director, b), rules)
		r := rand.New(rand.NewPCG(seed, bursts))
		drops := 0
		for n := range bursts {
			frames := make(map[uint32]steer.Frame)
			for i := range burst {
				f := randomFlow(r, 8)
				for !f.hasOneFragmentHeader() { // see Rules.Drops
					f = randomFlow(r, 8)
				}
				frame := steer.Frame{Link: w.link.Index, Host: true}
				f.to = w.link.HardwareAddr
				if r.IntN(10) == 0 {
					f.to, frame.Host = pick(r, []net.HardwareAddr{broadcast, {2, 0, 0, 0, 0, 2}}), false
				}
				frame.Data = f.frame(t)
				onWire := frame.Data
				if r.IntN(10) == 0 {
					frame.Tagged = true
					onWire = tag(onWire, pick(r, []uint16{0x8100, 0x88a8}))
				}
				number := uint32(n*(burst+1) + i)
				w.inject(t, onWire, number)
				if w.reaches(f, frame) {
					frames[number] = frame
				}
			}
			passed := w.passed(t, uint32(n*(burst+1)+burst))
			for number, frame := range frames {
				want := rules.Drops(frame)
				if passed[number] == want {
					t.Errorf("seed %d: frame %d dropped %v, want %v: %+v", seed, number, !passed[number], want, frame)
				}
				if want {
					drops++
				}
			}
		}
		if drops < bursts*burst/50 {
			t.Errorf("only %d random frames are dropped: the test says little", drops)
		}
	})
}

// TestDropsHeadersOutsideLinearPart sends frames of more than a page, of which a packet
// socket keeps the Ethernet header alone in the linear part.
func TestDropsHeadersOutsideLinearPart(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		w := newWire(t, b)
		apply(t, w.director, open(t, w.director, b), testRules(w.link.Index))
		for i, f := range []flow{
			{src: addrPort("203.0.113.9:5000"), dst: addrPort("198.51.100.80:80"), proto: tcp},
			{src: addrPort("[2001:db8:3::9]:5000"), dst: addrPort("[2001:db8:1::80]:80"), proto: tcp},
		} {
			f.to = w.link.HardwareAddr
			f.padding = 8000
			w.inject(t, f.frame(t), uint32(2*i))
			if passed := w.passed(t, uint32(2*i+1)); len(passed) != 0 {
				t.Errorf("frame to %s of 8000 bytes is not dropped", f.dst)
			}
		}
	})
}

// TestApplyLeavesNoGap sends to a service without a pause while the rules around it change.
func TestApplyLeavesNoGap(t *testing.T) {
	forEachBackend(t, func(t *testing.T, b steer.Backend) {
		const changes = 60
		w := newWire(t, b)
		s := open(t, w.director, b)
		always := testRules(w.link.Index)
		apply(t, w.director, s, always)

		f := flow{to: w.link.HardwareAddr, src: addrPort("203.0.113.9:5000"), dst: addrPort("198.51.100.80:80"), proto: tcp}
		frame := f.frame(t)
		stop, sent := make(chan struct{}), make(chan error, 1)
		var count uint32
		go func() {
			for {
				select {
				case <-stop:
					sent <- nil
					return
				default:
				}
				count++
				binary.BigEndian.PutUint32(frame[8:], count)
				if _, err := w.in.WriteTo(frame, &packet.Addr{HardwareAddr: w.link.HardwareAddr}); err != nil && !errors.Is(err, os.ErrClosed) {
					sent <- fmt.Errorf("send: %w", err)
					return
				}
			}
		}()
		for i := range changes {
			r := always
			r.Services = append(r.Services[:len(r.Services):len(r.Services)], match("198.51.100.90", uint16(i+1), tcp))
			apply(t, w.director, s, r)
		}
		close(stop)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if passed := w.passed(t, count+1); len(passed) != 0 {
			t.Errorf("%d of %d frames reached the stack during %d changes", len(passed), count, changes)
		}
		if count < changes {
			t.Errorf("only %d frames were sent during %d changes", count, changes)
		}
	})
}
