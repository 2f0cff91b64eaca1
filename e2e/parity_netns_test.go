//go:build netns

package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/parity"
	"uvs/internal/wire"
)

// A wiredDirector is a director between the two networks of package parity, of which the test
// holds the other ends: it sends and receives frames there, and nobody else does.
type wiredDirector struct {
	t    *testing.T
	site *netlab.Site
	host *netlab.Host
	fds  [2]int // packet sockets on the other ends
	buf  []byte
}

// newWiredDirector builds the site. close ends it.
func newWiredDirector(t *testing.T) *wiredDirector {
	t.Helper()
	netlab.Require(t)
	site, err := netlab.New("parity")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiredDirector{t: t, site: site, fds: [2]int{-1, -1}, buf: make([]byte, 1<<16)}
	w.host = labtest.Host(t, site, "director")
	wires := labtest.Host(t, site, "wires")
	sysctls := [][2]string{
		{"net.ipv4.ip_forward", "1"}, {"net.ipv6.conf.all.forwarding", "1"},
		{"net.ipv4.icmp_ratelimit", "0"}, {"net.ipv6.icmp.ratelimit", "0"}, {"net.ipv6.auto_flowlabels", "0"},
	}
	for _, s := range sysctls {
		w.must(w.host.Sysctl(s[0], s[1]))
	}
	w.must(wires.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"))
	for _, s := range sides() {
		dev := s.Device()
		w.must(site.Connect(w.host, dev, wires, dev))
		// The kernel would leave the checksums of its own packets to a card that is not there.
		w.must(w.host.SetOffload(dev, netlab.OffloadTX, false))
		w.must(w.host.SetOffload(dev, netlab.OffloadGRO, false))
	}
	w.configure(wires)
	for _, s := range sides() {
		w.fds[s] = w.open(wires, s.Device())
	}
	return w
}

func sides() []parity.Side { return []parity.Side{parity.Clients, parity.Servers} }

func (w *wiredDirector) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// configure gives both hosts' devices what the site is to have.
func (w *wiredDirector) configure(wires *netlab.Host) {
	w.t.Helper()
	var batch strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&batch, format+"\n", args...) }
	for _, s := range sides() {
		line("link set dev %s address %s", s.Device(), macText(s.MAC()))
		for _, p := range s.Prefixes() {
			line("address add %s dev %s", p, s.Device())
		}
	}
	for _, a := range parity.VIPs() {
		line("address add %s/%d dev %s", a, a.BitLen(), parity.Clients.Device())
	}
	for _, n := range parity.Neighbours() {
		for _, a := range n.Addrs {
			line("neighbour replace %s lladdr %s dev %s nud permanent", a, macText(n.MAC), n.Side.Device())
		}
	}
	for _, a := range parity.Router().Addrs {
		everywhere := "0.0.0.0/0"
		if a.Is6() {
			everywhere = "::/0"
		}
		line("route add %s via %s", everywhere, a)
	}
	file := filepath.Join(w.t.TempDir(), "batch")
	w.must(os.WriteFile(file, []byte(batch.String()), 0o644))
	labtest.Run(w.t, w.host, "ip", "-batch", file)
	for _, s := range sides() {
		labtest.Run(w.t, wires, "ip", "link", "set", "dev", s.Device(), "arp", "off")
	}
}

func macText(m wire.MAC) string { return net.HardwareAddr(m[:]).String() }

// open opens a packet socket on a device.
func (w *wiredDirector) open(h *netlab.Host, dev string) (fd int) {
	w.t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	w.must(h.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		link, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		timeout := unix.NsecToTimeval(int64(10 * time.Second))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index})
	}))
	return fd
}

func (w *wiredDirector) close() {
	for _, fd := range w.fds {
		if fd >= 0 {
			unix.Close(fd) //nolint:errcheck // a packet socket has nothing to lose
		}
	}
	if w.t.Failed() {
		w.t.Log(w.site.Describe())
	}
	if err := w.site.Close(); err != nil {
		w.t.Error(err)
	}
}

// Send implements parity.World.
func (w *wiredDirector) Send(t *testing.T, f parity.Frame) {
	t.Helper()
	if _, err := unix.Write(w.fds[f.Side], f.Data); err != nil {
		t.Fatalf("send %d bytes to %s: %v", len(f.Data), f.Side.Device(), err)
	}
}

// MTU implements parity.World.
func (w *wiredDirector) MTU(t *testing.T, s parity.Side, n int) {
	t.Helper()
	if err := w.host.SetMTU(s.Device(), n); err != nil {
		t.Fatal(err)
	}
}

// Wait implements parity.World.
func (w *wiredDirector) Wait(t *testing.T, d time.Duration) {
	t.Helper()
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-t.Context().Done():
	}
}

// until receives from a side until a frame is the one waited for, and returns those before.
func (w *wiredDirector) until(t *testing.T, s parity.Side, is func(ip []byte) bool) (before []parity.Frame) {
	t.Helper()
	for {
		n, err := unix.Read(w.fds[s], w.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("the director does not send what it should on %s: %v; before it sent %d frames", s.Device(), err, len(before))
		}
		f := parity.Frame{Side: s, Data: slices.Clone(w.buf[:n])}
		switch {
		case !f.Relevant():
		case is(f.Data[wire.EthernetLen:]):
			return before
		default:
			before = append(before, f)
		}
	}
}

// run runs a program on the director.
func (w *wiredDirector) run(t *testing.T, name string, args []string) (stdout, stderr string, status int) {
	t.Helper()
	p, err := w.host.Start(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(startTimeout):
		t.Fatalf("%s %s does not end: %s", name, strings.Join(args, " "), p.Output())
	}
	if err := p.Wait(); err != nil {
		exit := new(exec.ExitError)
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		status = exit.ExitCode()
	}
	return p.Stdout(), p.Stderr(), status
}

// pinThread keeps the test's thread on one processor: there a packet that is sent into a veth
// has been through the kernel when sending the next one begins, in the order of sending.
func pinThread(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.SchedSetaffinity(0, &before) //nolint:errcheck // it was the thread's own set
		runtime.UnlockOSThread()
	})
}

// A uvsWorld plays scripts with a director that is the uvs binary. Each case has its own.
type uvsWorld struct {
	*wiredDirector
	uvs *netlab.Process
	bin string
}

var _ parity.World = (*uvsWorld)(nil)

// Reset implements parity.World.
func (w *uvsWorld) Reset(t *testing.T) {
	t.Helper()
	w.close()
	w.bin = labtest.Binary(t)
	w.wiredDirector = newWiredDirector(t)
	var err error
	if w.uvs, err = w.host.Start(w.bin, "run", "--workers", "1"); err != nil {
		t.Fatal(err)
	}
	labtest.Eventually(t, startTimeout, func() error {
		select {
		case <-w.uvs.Done():
			t.Fatalf("uvs ended: %s", w.uvs.Output())
		default:
		}
		_, errors, status := w.run(t, w.bin, []string{"status"})
		if status != 0 {
			return fmt.Errorf("uvs status: %s", errors)
		}
		return nil
	})
	w.mark(t)
}

func (w *uvsWorld) close() {
	if w.wiredDirector == nil {
		return
	}
	if err := w.uvs.Stop(); err != nil || w.t.Failed() {
		w.t.Logf("uvs: %v\n%s", err, w.uvs.Output())
	}
	w.wiredDirector.close()
	w.wiredDirector = nil
}

// Scripts do not know of one more service, through which the world sees that uvs has dealt
// with all that was sent before: its worker takes packets in their order.
const (
	markVirtual = "192.0.2.19:9"
	markServer  = "198.51.100.19:9"
	markClient  = "203.0.113.254:9"
)

func (w *uvsWorld) mark(t *testing.T) {
	t.Helper()
	for _, args := range []string{"-A -u " + markVirtual + " -s rr", "-a -u " + markVirtual + " -r " + markServer + " -m"} {
		if _, stderr, status := w.run(t, w.bin, append([]string{"ipvsadm"}, strings.Fields(args)...)); status != 0 {
			t.Fatalf("ipvsadm %s: %s", args, stderr)
		}
	}
}

// Sysctl implements parity.World.
func (w *uvsWorld) Sysctl(t *testing.T, name, value string) {
	t.Helper()
	if _, stderr, status := w.run(t, w.bin, []string{"sysctl", name + "=" + value}); status != 0 {
		t.Fatalf("uvs sysctl %s=%s: %s", name, value, stderr)
	}
}

// ofMark are the lines of a listing that are about the mark: a row of a service with its
// server, a connection, commands of -S.
var ofMark = regexp.MustCompile(`(?m)^.*` + regexp.QuoteMeta(markVirtual) + `.*\n(?:  -> ` + regexp.QuoteMeta(markServer) + `.*\n)?`)

// Ipvsadm implements parity.World.
func (w *uvsWorld) Ipvsadm(t *testing.T, args []string) (stdout, stderr string, status int) {
	t.Helper()
	stdout, stderr, status = w.run(t, w.bin, append([]string{"ipvsadm"}, args...))
	if slices.Contains(args, "-C") {
		w.mark(t)
	}
	return ofMark.ReplaceAllString(stdout, ""), stderr, status
}

// Seen implements parity.World. A datagram goes from client to server, back, and there again:
// before the last arrives, the worker has taken all that waited on either side.
func (w *uvsWorld) Seen(t *testing.T) (seen []parity.Frame, left int) {
	t.Helper()
	there := func() []parity.Frame {
		return w.pass(t, parity.Clients, parity.Router().MAC, markClient, markVirtual, parity.Servers, markClient+" > "+markServer)
	}
	seen = there()
	toClients := w.pass(t, parity.Servers, parity.Server(parity.ServerCount).MAC, markServer, markClient, parity.Clients, markVirtual+" > "+markClient)
	seen = append(seen, there()...)
	return append(seen, toClients...), 0
}

// pass sends a datagram in on one side and returns what comes out on another one before it.
func (w *uvsWorld) pass(t *testing.T, in parity.Side, from wire.MAC, src, dst string, out parity.Side, arrives string) []parity.Frame {
	t.Helper()
	p := parity.Packet{Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst), Proto: wire.ProtoUDP, TTL: 64}
	w.Send(t, parity.FrameTo(in, from, p.Bytes()))
	return w.until(t, out, func(ip []byte) bool { return strings.HasPrefix(parity.Describe(ip), arrives) })
}

// TestUVSAsKernel plays scripts with the uvs binary and wants what the kernel's IPVS made of
// them. That the engine does so is seen without namespaces; here it has rings, steering and
// the host's stack around it.
func TestUVSAsKernel(t *testing.T) {
	playUVS(t, "../internal/parity/testdata/[no]*.txt")
}

func playUVS(t *testing.T, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			pinThread(t)
			w := &uvsWorld{}
			defer w.close()
			parity.Read(t, file).Play(t, w, func(e *parity.Entry, got []string) {
				e.Kernel = slices.DeleteFunc(e.Kernel, resetByStack)
				compareInTime(t, e, file, got)
			})
		})
	}
}

// compareInTime is Entry.Compare in a world whose time does not wait: of rates, some pictures
// may have gone by unseen.
func compareInTime(t *testing.T, e *parity.Entry, file string, got []string) {
	t.Helper()
	const between = "--\n"
	if e.Kind == "rates" {
		left := strings.Split(strings.Join(e.Want(), "\n")+"\n", between)
		for _, picture := range strings.Split(strings.Join(got, "\n")+"\n", between) {
			i := slices.Index(left, picture)
			if i < 0 {
				t.Errorf("%s:%d: IPVS does not show at this time\n%s", file, e.Line, picture)
				return
			}
			left = left[i+1:]
		}
		return
	}
	e.Compare(t, file, got)
}

// resetByStack reports whether a line is a reset of the director's own: uvs sends none for a
// while after its start, as connections from before are to wait and not to end.
func resetByStack(line string) bool {
	return strings.Contains(line, " tcp R") && strings.Contains(line, " ttl 64")
}
