//go:build netns

package steer_test

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"uvs/internal/netlab"
	"uvs/internal/netlab/labtest"
	"uvs/internal/steer"
)

// Verdicts of a tcx program.
const (
	tcxNext = -1
	tcxPass = 0
	tcxDrop = 2
)

// steeringProgram applies rules on a new host and returns the program that is attached
// there.
func steeringProgram(t testing.TB, r steer.Rules) *ebpf.Program {
	t.Helper()
	h := hostWithLink(t)
	r.Links = []int{index(t, h, "eth0")}
	apply(t, h, open(t, h, steer.TCX), r)
	var prog *ebpf.Program
	inside(t, h, func() error {
		q, err := link.QueryPrograms(link.QueryOptions{Target: r.Links[0], Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return err
		}
		prog, err = ebpf.NewProgramFromID(q.Programs[0].ID)
		return err
	})
	t.Cleanup(func() { prog.Close() })
	return prog
}

// addFilter adds a program of someone else to one side of a device's clsact qdisc, which it
// makes if there is none.
func addFilter(index int, side uint32, p *ebpf.Program) error {
	const all = 3 // ETH_P_ALL
	return addFilterFor(all, index, side, p)
}

// addFilterFor is addFilter for one network protocol.
func addFilterFor(protocol uint16, index int, side uint32, p *ebpf.Program) error {
	err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: side, Handle: 7, Priority: 1, Protocol: protocol,
		},
		Fd: p.FD(), Name: "someone", DirectAction: true,
	})
}

// hostWithLink returns a host whose eth0 leads to eth0 of a peer.
func hostWithLink(t testing.TB) *netlab.Host {
	t.Helper()
	h, _ := hostWithPeer(t)
	return h
}

// hostWithPeer returns two hosts that are joined by their interfaces eth0.
func hostWithPeer(t testing.TB) (h, peer *netlab.Host) {
	t.Helper()
	site := labtest.New(t)
	h, peer = labtest.Host(t, site, "director"), labtest.Host(t, site, "peer")
	if err := site.Connect(h, "eth0", peer, "eth0"); err != nil {
		t.Fatal(err)
	}
	return h, peer
}

// TestTCXProgramIsRulesDrops runs the program in the kernel on random frames, whole, cut
// short and damaged, under rules of every shape.
func TestTCXProgramIsRulesDrops(t *testing.T) {
	netlab.Require(t)
	all := testRules()
	noLocals, noServers, noServices, exact := all, all, all, all
	noLocals.Locals = nil
	noServers.Servers = nil
	noServices.Services = nil
	onlyPatterns := noServices
	onlyPatterns.Servers = nil
	noPatterns := all
	noPatterns.Patterns = nil
	exact.Services, exact.Servers = exact.Services[:1], exact.Servers[:1]
	for _, tt := range []struct {
		name  string
		rules steer.Rules
	}{
		{"everything", all},
		{"no locals", noLocals},
		{"no servers", noServers},
		{"no services", noServices},
		{"only patterns", onlyPatterns},
		{"no patterns", noPatterns},
		{"no entry for every port", exact},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const seed, frames = 20, 4000
			prog := steeringProgram(t, tt.rules)
			r := rand.New(rand.NewPCG(seed, frames))
			drops := 0
			for i := range frames {
				data := randomFlow(r, 10).frame(t)
				// The test device has the address of zeros: only frames to it are PACKET_HOST.
				frame := steer.Frame{Link: 1, Data: data, Host: true} // of lo, as tests are
				if r.IntN(10) == 0 {
					copy(data, pick(r, []net.HardwareAddr{broadcast, {2, 0, 0, 0, 0, 2}, {1, 0, 0x5e, 0, 0, 1}}))
					frame.Host = false
				}
				switch r.IntN(4) {
				case 0:
					// The kernel takes no test frame without a whole IP header.
					frame.Data = data[:max(14+40, r.IntN(len(data)+1))]
				case 1:
					data[12+r.IntN(len(data)-12)] = byte(r.Uint32())
				}
				want := tt.rules.Drops(frame)
				got, err := prog.Run(&ebpf.RunOptions{Data: frame.Data})
				if err != nil {
					t.Fatalf("frame %d: % x: %v", i, frame.Data, err)
				}
				if int32(got) != tcxNext && got != tcxDrop || (got == tcxDrop) != want {
					t.Fatalf("seed %d, frame %d: verdict %d, want drop %v: % x", seed, i, int32(got), want, frame.Data)
				}
				if want {
					drops++
				}
			}
			if drops < frames/100 {
				t.Errorf("only %d of %d random frames are dropped: the test says little", drops, frames)
			}
		})
	}
}

// BenchmarkTCXProgram measures the program alone, as BPF_PROG_TEST_RUN times it.
func BenchmarkTCXProgram(b *testing.B) {
	netlab.Require(b)
	rules := testRules()
	for i := range 1000 { // a site of some size: lookups meet filled maps
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		rules.Services = append(rules.Services, steer.Match{Addr: a, Port: 80, Proto: tcp})
		rules.Servers = append(rules.Servers, steer.Match{Addr: a, Port: 8080, Proto: tcp})
	}
	exact := rules
	exact.Services, exact.Servers = nil, nil
	for _, m := range rules.Services {
		if m.Port != 0 {
			exact.Services = append(exact.Services, m)
		}
	}
	for _, m := range rules.Servers {
		if m.Port != 0 {
			exact.Servers = append(exact.Servers, m)
		}
	}
	ap := addrPort
	flows := []struct {
		name string
		flow flow
	}{
		{"hit-service", flow{src: ap("203.0.113.9:5000"), dst: ap("198.51.100.80:80"), proto: tcp}},
		{"hit-service-ipv6", flow{src: ap("[2001:db8:3::9]:5000"), dst: ap("[2001:db8:1::80]:80"), proto: tcp}},
		{"hit-return", flow{src: ap("192.0.2.201:80"), dst: ap("203.0.113.9:5000"), proto: tcp}},
		{"pass-other", flow{src: ap("203.0.113.9:5000"), dst: ap("198.51.100.80:22"), proto: tcp}},
		{"pass-ping", flow{src: ap("203.0.113.9:0"), dst: ap("198.51.100.80:0"), proto: icmp}},
	}
	for _, set := range []struct {
		name  string
		rules steer.Rules
	}{{"ports", exact}, {"ports-and-every-port", rules}} {
		for _, f := range flows {
			b.Run(set.name+"/"+f.name, func(b *testing.B) {
				const repeat = 1_000_000
				prog := steeringProgram(b, set.rules)
				data := f.flow.frame(b)
				var total time.Duration
				for b.Loop() {
					_, perRun, err := prog.Benchmark(data, repeat, nil)
					if err != nil {
						b.Fatal(err)
					}
					total += perRun
				}
				b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), "ns/packet")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// TestTCXPreparesForWhatIsSoon: what was announced comes into force, and goes, in the program
// that is there; frames for it are nobody's before and after. What was not announced takes
// another program.
func TestTCXPreparesForWhatIsSoon(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	s := open(t, h, steer.TCX)
	eth0 := index(t, h, "eth0")
	service := steer.Match{Addr: netip.MustParseAddr("198.51.100.80"), Port: 80, Proto: tcp}
	server := steer.Match{Addr: netip.MustParseAddr("192.0.2.201"), Port: 80, Proto: tcp}
	other := steer.Match{Addr: netip.MustParseAddr("198.51.100.81"), Port: 0, Proto: tcp}
	soon := steer.Rules{Links: []int{eth0}, SoonServices: []steer.Match{service}}
	withServer := soon
	withServer.Servers = []steer.Match{server}
	withServer.SoonLocals = []netip.Addr{service.Addr}
	request := flow{src: addrPort("203.0.113.9:5000"), dst: addrPort("198.51.100.80:80"), proto: tcp}
	toOther := flow{src: addrPort("203.0.113.9:5000"), dst: addrPort("198.51.100.81:443"), proto: tcp}
	fromServer := flow{src: addrPort("192.0.2.201:80"), dst: addrPort("198.51.100.80:4000"), proto: tcp}
	inForce := func(r steer.Rules) steer.Rules {
		r.Services, r.Locals = r.SoonServices, r.SoonLocals
		return r
	}
	widened := inForce(soon)
	widened.Services = append([]steer.Match{other}, widened.Services...)
	before := ""
	for _, step := range []struct {
		name  string
		rules steer.Rules
		fresh bool   // takes another program
		drops []flow // of all three
	}{
		{"soon", soon, true, nil},
		{"in force", inForce(soon), false, []flow{request}},
		{"in force again", inForce(soon), false, []flow{request}},
		{"soon once more", soon, false, nil},
		{"not announced", widened, true, []flow{request, toOther}},
		{"no longer", inForce(soon), false, []flow{request}},
		{"a server, and the address is not local yet", withServer, true, []flow{fromServer}},
		{"the address is local", inForce(withServer), false, []flow{request}},
		{"and not any more", withServer, false, []flow{fromServer}},
	} {
		apply(t, h, s, step.rules)
		var programs []string
		inside(t, h, func() (err error) {
			programs, err = programsOn(eth0)
			return err
		})
		if len(programs) != 1 || (programs[0] != before) != step.fresh {
			t.Errorf("%s: programs are %q after %q, want another one: %t", step.name, programs, before, step.fresh)
		}
		before = programs[0]
		for _, f := range []flow{request, toOther, fromServer} {
			want := slices.ContainsFunc(step.drops, func(d flow) bool { return d.src == f.src && d.dst == f.dst })
			if got := attachedProgram(t, h, eth0).drops(t, f); got != want {
				t.Errorf("%s: %v is dropped: %t, want %t", step.name, f, got, want)
			}
		}
	}
}

// TestTCXTakesBriefMatchesAtOnce: what comes and goes with single connections takes no other
// program as long as there is room for it.
func TestTCXTakesBriefMatchesAtOnce(t *testing.T) {
	netlab.Require(t)
	h := hostWithLink(t)
	s := open(t, h, steer.TCX)
	eth0 := index(t, h, "eth0")
	rules := func(ports ...uint16) steer.Rules {
		r := steer.Rules{Links: []int{eth0}, Services: []steer.Match{match("198.51.100.80", 21, tcp)}, BriefRoom: 2}
		for _, p := range ports {
			r.BriefServices = append(r.BriefServices, match("198.51.100.80", p, tcp))
			r.BriefServers = append(r.BriefServers, match("192.0.2.201", p, tcp))
		}
		return r
	}
	before := ""
	for _, step := range []struct {
		ports []uint16
		fresh bool
	}{{nil, true}, {[]uint16{5000}, false}, {[]uint16{6000, 5000}, false}, {[]uint16{6000}, false}, {[]uint16{6000, 7000, 8000}, true}, {nil, false}} {
		apply(t, h, s, rules(step.ports...))
		var programs []string
		inside(t, h, func() (err error) {
			programs, err = programsOn(eth0)
			return err
		})
		if len(programs) != 1 || (programs[0] != before) != step.fresh {
			t.Errorf("ports %v: programs are %q after %q, want another one: %t", step.ports, programs, before, step.fresh)
		}
		before = programs[0]
		for _, port := range []uint16{5000, 6000, 7000, 8000} {
			want := slices.Contains(step.ports, port)
			in := flow{src: addrPort("203.0.113.9:4000"), dst: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.80"), port), proto: tcp}
			out := flow{src: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.201"), port), dst: addrPort("203.0.113.9:4000"), proto: tcp}
			program := attachedProgram(t, h, eth0)
			if gotIn, gotOut := program.drops(t, in), program.drops(t, out); gotIn != want || gotOut != want {
				t.Errorf("ports %v: port %d is dropped: %t and %t, want %t", step.ports, port, gotIn, gotOut, want)
			}
		}
	}
}

// A runner is a program that can be run on frames.
type runner struct{ *ebpf.Program }

// attachedProgram returns the first program on a device.
func attachedProgram(t *testing.T, h *netlab.Host, index int) runner {
	t.Helper()
	var r runner
	inside(t, h, func() error {
		q, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return err
		}
		r.Program, err = ebpf.NewProgramFromID(q.Programs[0].ID)
		return err
	})
	t.Cleanup(func() { r.Close() })
	return r
}

// drops runs the program on a frame of a flow.
func (r runner) drops(t *testing.T, f flow) bool {
	t.Helper()
	got, err := r.Run(&ebpf.RunOptions{Data: f.frame(t)})
	if err != nil {
		t.Fatal(err)
	}
	return got == tcxDrop
}
