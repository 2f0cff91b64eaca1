//go:build netns

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"uvs/control"
	"uvs/internal/netlab"
	"uvs/internal/netlab/capture"
	"uvs/internal/netlab/labtest"
)

// A scenario is a story of virtual routers on one Ethernet or two: what is done to them, and
// who is MASTER then. The same story is told by different programs.
type scenario struct {
	name string
	// casts say which program plays a, b and c: u is uvs, k Debian's keepalived, f FRR's vrrpd.
	// Those of long are played only if UVS_LONG is set.
	casts, long []string
	segments    int // 1 if 0
	// lanes are the virtual routers that are watched: VRID 51 on the first segment and 52 on the
	// second, if there are none.
	lanes []lane
	// interval is the longest between two adverts of a master.
	interval time.Duration
	conf     []string // of a, b and c
	vips     []string // {vip} if none
	steps    []step
}

// A lane is a virtual router on a segment, which is counted from 0.
type lane struct {
	segment int
	vrid    byte
}

// A step is something that is done, and what must follow from it.
type step struct {
	what string
	do   []act
	// masters are those who send adverts from then on; they go on for hold (3 intervals if 0),
	// while nobody else does. "a/b" are those of each lane.
	masters string
	hold    time.Duration
	// takes bounds when a new one of them sends its first.
	takes span
	// holders have the virtual addresses, "a/b" each of them: the masters, if it is empty. "?" leaves it open, where
	// they have different ones.
	holders string
	// conflict are those who know of another master beside them. All others know of none. "?"
	// leaves it open: a backup that was put right need not say so before it is silent.
	conflict string
	// tells are masters that tell neighbours, who took another's word, when that one has yielded.
	tells string
	// logs are lines that somebody writes meanwhile.
	logs []line
	// silenced says that adverts are refused: a keepalived that refuses one puts off its own.
	silenced bool
}

// A line is a part of a log line that a player writes.
type line struct {
	who, text string
	once      bool // and not again, if it is of uvs
	uvs       bool // others need not say so
}

// An act is something that is done to the players.
type act func(*play)

// A span is how long after its beginning something may happen.
type span struct {
	silence  bool // the beginning is the last advert of those who were masters; otherwise the act
	min, max time.Duration
}

// silence is the time after the last advert of the old master.
func silence(d time.Duration) span { return span{true, d, d} }

// after is the time after the act.
func after(d time.Duration) span { return span{false, d, d} }

// between is a time after the act that depends on when the last advert was.
func between(least, most time.Duration) span { return span{false, least, most} }

// Bounds of a measurement: adverts are stamped by another host than the one that measures
// its timer, and this machine has more to do.
const (
	early = 5 * time.Millisecond
	late  = 250 * time.Millisecond
)

// A play is a scenario under way.
type play struct {
	t       *testing.T
	s       *scenario
	site    *netlab.Site
	lans    []*netlab.Bridge
	wires   []*capture.Capture // of a bystander, one for each segment
	lanes   []lane
	players map[byte]*player

	masters, holders string // after the last step

	again bool   // the scenario can be played again if a step came late
	late  string // what came late

	// Of the current step: when its acts began and ended.
	began, ended time.Time
}

// A player is a program on its host.
type player struct {
	name            string
	kind            byte
	host            *netlab.Host
	file            string
	procs           []*netlab.Process // the last one may run
	frozen, crashed bool
	// Before the current step: how often lines were written, and the number of procs.
	seen  map[string]int
	lives int
}

// newPlay builds the site: each player is on all segments, as is a witness that only listens.
// Segments are hubs, so that it hears unicast, too.
func newPlay(t *testing.T, s *scenario, cast string) *play {
	t.Helper()
	p := &play{t: t, s: s, site: labtest.New(t), lanes: s.lanes, players: make(map[byte]*player)}
	witness := labtest.Host(t, p.site, "witness")
	for n := range len(cast) {
		name := string(rune('a' + n))
		h := labtest.Host(t, p.site, name)
		must(t, h.Sysctl("net.ipv6.conf.default.addr_gen_mode", "1")) // its only link-local address is ours
		file := filepath.Join(t.TempDir(), name+".conf")
		must(t, os.WriteFile(file, []byte(s.conf[n]), 0o600))
		p.players[name[0]] = &player{name: name, kind: cast[n], host: h, file: file}
	}
	for n := range max(s.segments, 1) {
		lan, err := p.site.AddBridge(fmt.Sprintf("lan%d", n+1))
		must(t, err)
		labtest.Run(t, lan.Host, "ip", "link", "set", "br0", "type", "bridge", "ageing_time", "0")
		ifname := fmt.Sprintf("eth%d", n)
		must(t, lan.Attach(witness, ifname))
		p.lans = append(p.lans, lan)
		for i := range len(cast) {
			p.attach(p.players[byte('a'+i)].host, n, i+1)
		}
		p.wires = append(p.wires, labtest.Capture(t, witness, ifname, watched))
		if len(s.lanes) == 0 {
			p.lanes = append(p.lanes, lane{n, byte(51 + n)})
		}
	}
	return p
}

// attach gives a host an interface on a segment, and its addresses there.
func (p *play) attach(h *netlab.Host, segment, number int) {
	p.t.Helper()
	ifname := fmt.Sprintf("eth%d", segment)
	must(p.t, p.lans[segment].Attach(h, ifname))
	must(p.t, h.AddAddr(ifname, netip.MustParsePrefix(fmt.Sprintf("10.9.%d.%d/24", segment+1, number))))
	must(p.t, h.AddAddr(ifname, netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", number))))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// performances is how often a scenario is played at most. What a program is late with each time is its own; a step that is late once
// in a while is the machine's, which stands still for a quarter of a second at times.
const performances = 3

// perform plays a scenario to its end.
func (s *scenario) perform(t *testing.T, cast string) {
	for n := range performances {
		p := newPlay(t, s, cast)
		p.again = n+1 < performances
		if p.perform() {
			return
		}
		t.Logf("played again: %s", p.late)
	}
}

// perform plays it once, and reports false if that does not count.
func (p *play) perform() bool {
	for n := range p.s.steps {
		p.step(&p.s.steps[n])
		switch {
		case p.t.Failed():
			return true // what follows would only repeat it
		case p.late != "":
			return false // its site ends with the test
		}
	}
	p.end()
	return true
}

// end stops everybody: uvs ends cleanly, and nothing stays on the hosts.
func (p *play) end() {
	var all sync.WaitGroup
	for _, x := range p.players {
		if x.running() {
			all.Go(func() {
				if err := x.proc().Stop(); err != nil {
					p.t.Errorf("%s does not end cleanly: %v", x.name, err)
				}
			})
		}
	}
	all.Wait()
	left := ""
	for _, x := range p.players {
		if x.crashed && strings.Contains(p.holders, x.name) {
			left += x.name
		}
	}
	p.wantHolders(left)
}

func (x *player) proc() *netlab.Process { return x.procs[len(x.procs)-1] }

func (x *player) running() bool {
	if len(x.procs) == 0 {
		return false
	}
	select {
	case <-x.proc().Done():
		return false
	default:
		return true
	}
}

// log is all that a player has written in all of its lives.
func (x *player) log() string {
	var b strings.Builder
	for _, proc := range x.procs {
		b.WriteString(proc.Output())
	}
	return b.String()
}

// pids are the processes of a player, its children first: keepalived's parent starts another
// child for one that it sees end.
func (x *player) pids(t *testing.T) []int {
	t.Helper()
	parent := x.proc().Pid()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	must(t, err)
	var pids []int
	for _, word := range strings.Fields(string(text)) {
		var pid int
		if _, err := fmt.Sscan(word, &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return append(pids, parent)
}

// signal sends a signal to all processes of a player.
func (x *player) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	for _, pid := range x.pids(t) {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatalf("signal %v to %s: %v", sig, x.name, err)
		}
	}
}

// vips are the addresses that float.
func (p *play) vips() []string {
	if len(p.s.vips) == 0 {
		return []string{vip}
	}
	return p.s.vips
}

// has reports whether the host has an address.
func (x *player) has(t *testing.T, address string) (bool, error) {
	ctx, cancel := context.WithTimeout(t.Context(), labtest.Hang)
	defer cancel()
	out, err := x.host.Run(ctx, "ip", "-o", "addr", "show", "to", address)
	return out != "", err
}

// wantHolders waits until these players have the virtual addresses, and no others.
func (p *play) wantHolders(holders string) {
	p.t.Helper()
	labtest.Eventually(p.t, labtest.Hang, func() error {
		for role, x := range p.players {
			if x.kind == 'f' {
				continue // FRR has its addresses on a device that is down
			}
			for n, address := range p.vips() {
				has, err := x.has(p.t, address)
				if err != nil {
					return err
				}
				if want := strings.IndexByte(ofLane(holders, n), role) >= 0; has != want {
					return fmt.Errorf("%s has %s: %t, want %t", x.name, address, has, want)
				}
			}
		}
		return nil
	})
}

// ofLane are the roles of one lane.
func ofLane(roles string, n int) string {
	if each := strings.Split(roles, "/"); len(each) > 1 {
		return each[n]
	}
	return roles
}

// wantConflict asks each uvs for the other masters that it knows of. Each is told of once in
// the log.
func (p *play) wantConflict(roles string) {
	p.t.Helper()
	for role, x := range p.players {
		if x.kind != 'u' || !x.running() || x.frozen {
			continue
		}
		want := strings.IndexByte(roles, role) >= 0
		labtest.Eventually(p.t, labtest.Hang, func() error {
			ctx, cancel := context.WithTimeout(p.t.Context(), labtest.Hang)
			defer cancel()
			out, err := x.host.Run(ctx, labtest.Binary(p.t), "status", "-o", "json")
			if err != nil {
				return err
			}
			var s control.Status
			if err := json.Unmarshal([]byte(out), &s); err != nil {
				return err
			}
			if got := inConflict(s.VRRP); got != want {
				return fmt.Errorf("%s: status has a conflict: %t, want %t\n%s", x.name, got, want, out)
			}
			return nil
		})
	}
}

// inConflict reports whether an instance has another master beside it. There is no VRRP
// without instances.
func inConflict(v *control.VRRP) bool {
	return v != nil && slices.ContainsFunc(v.Instances, func(i control.VRRPInstance) bool { return i.Conflict != nil })
}
