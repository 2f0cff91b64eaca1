package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"uvs/forwarding"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
)

// retryEvery is how long after a failure the reconciler tries again, if nothing changes
// before.
const retryEvery = time.Second

// reconciled is what the reconciler remembers. It belongs to one goroutine at a time.
type reconciled struct {
	with   *hostnet.Snapshot // steering and ports fit this one; nil: they fit none
	points []int             // devices that are or were captured and still exist
	data   data
}

// look tells the reconciler and the keeper of holdings that something changed. It does
// not wait.
func (d *director) look() {
	select {
	case d.moved <- struct{}{}:
	default:
	}
	select {
	case d.answers <- struct{}{}:
	default:
	}
	d.holdings.look()
}

// keepInLine is the reconciler: it follows changes, and tries again what failed.
func (d *director) keepInLine(ctx context.Context) error {
	retry := time.NewTimer(retryEvery)
	defer retry.Stop()
	told := ""
	for {
		d.beats.reconciler.Add(1)
		select {
		case <-ctx.Done():
			return nil
		case <-d.moved:
		case <-retry.C:
			d.letGo()
			if d.holdings.bare {
				d.fallBehind() // sysctls tell nobody when they change
			}
			if !d.behind() {
				retry.Reset(retryEvery)
				continue // nothing failed
			}
		}
		d.inLineMu.Lock()
		err := d.reconcile(d.network.Snapshot())
		d.inLineMu.Unlock()
		d.trouble.Store(&err)
		switch {
		case err == nil:
			told = ""
		case err.Error() != told:
			told = err.Error()
			d.log.Error("the network changed and not all could be followed; trying again", "error", err)
		}
		retry.Reset(retryEvery)
	}
}

// behind reports whether the last attempt failed.
func (d *director) behind() bool {
	d.inLineMu.Lock()
	defer d.inLineMu.Unlock()
	return d.inLine.with == nil
}

// fallBehind has the reconciler go over everything.
func (d *director) fallBehind() {
	d.inLineMu.Lock()
	defer d.inLineMu.Unlock()
	d.inLine.with = nil
}

// troubles are notes about what the reconciler could not follow, as long as that is so.
func (d *director) troubles() []string {
	if err := d.trouble.Load(); err != nil && *err != nil {
		return []string{fmt.Sprintf("not all of a change of the network or the machine could be followed: %v", *err)}
	}
	return nil
}

// suspend has checks wait whose virtual address is not here (ha_suspend).
func (d *director) suspend(s *hostnet.Snapshot) {
	away := make(map[string]bool)
	for group, vips := range *d.suspends.Load() {
		away[group] = !slices.ContainsFunc(vips, s.IsLocal)
	}
	d.health.Suspend(away)
}

// reconcile brings routes, steering and ports in line with the network and the goal. What
// fails keeps nothing else from being done. d.inLineMu is held.
func (d *director) reconcile(s *hostnet.Snapshot) error {
	// What is about to be added counts as there: steering, capture and the engine come first.
	// What may be one day is captured already, so that a takeover need not wait for rings.
	planned, prepared := s.WithAddresses(d.holdings.wantedOn(s)...), s.WithAddresses(d.holdings.plannedOn(s)...)
	goal := *d.goal.Load()
	ends := goal.ownEnds(prepared.IsLocal, !d.holdings.bare)
	d.stack.apply(s, ends)
	network := networkOf(planned)
	network.Stack = d.stack.way(s, ends, d.holdings.bare)
	network.Pools = goal.pools
	back := d.standsBack()
	if back {
		network.Locals = withoutVIPs(network.Locals, goal.vips())
		goal.servers, goal.patterns, goal.marks = nil, nil, nil
	}
	d.suspend(planned)
	d.engine.SetRoutes(forwarding.NewRoutes(network))
	if d.inLine.with != nil && s.Changed(d.inLine.with)&^hostnet.PartNeighbours == 0 {
		d.inLine.with = s
		return nil
	}
	d.engine.SetMarks(goal.marks.engineRules(s))
	vips := localOnes(planned, goal.vips())
	if back {
		vips = nil
	}
	// Spreading over workers is for all that may be ours: to change it takes the kernel some
	// time, which no takeover has.
	soon := slices.Concat(localOnes(prepared, goal.vips()), goal.markedAddrs(prepared))
	d.inLine.points = keepPoints(s, d.inLine.points, hostnet.CapturePoints(prepared, soon, goal.serverAddrs()))
	// What servers send to local ends comes to addresses of this host, and is not for its stack.
	rules := steer.Rules{Links: d.inLine.points, Locals: without(planned.LocalAddrs(), goal.pools), SoonLocals: without(prepared.LocalAddrs(), goal.pools)}
	rules.Services, rules.Servers = slices.Clone(goal.services), goal.servers
	rules.Services = slices.DeleteFunc(rules.Services, func(m steer.Match) bool { return !slices.Contains(vips, m.Addr) })
	rules.SoonServices = slices.DeleteFunc(slices.Clone(goal.services), func(m steer.Match) bool { return !slices.Contains(soon, m.Addr) })
	rules.FTPAddrs, rules.SoonFTPAddrs = among(goal.ftpAddrs, vips), among(goal.ftpAddrs, soon)
	rules.Patterns = goal.steerPatterns(planned)
	// What goes past the stack is always steered as well. A device is steered before it is
	// captured.
	if err := d.capture.narrow(rules); err != nil {
		d.inLine.with = nil
		return err
	}
	closed := d.closeAddresses(s)
	if err := d.applySteering(rules); err != nil {
		d.inLine.with = nil
		return errors.Join(err, closed)
	}
	ports := portPlan{captured: d.inLine.points, sendOnly: sendOnly(s, d.inLine.points), loopback: network.Stack.Loopback, stack: d.stack.group}
	if err := errors.Join(closed, d.capture.apply(ports, s, soon), d.capture.widen(rules)); err != nil {
		d.inLine.with = nil
		return err
	}
	d.inLine.with = s
	return nil
}

// standsBack reports whether this director is to leave all packets to its stack: IPVS's
// setting backup_only asks for that while another one is master.
func (d *director) standsBack() bool { return d.engine.Sysctls().BackupOnly && d.floating.standby() }

// without takes addresses out of a list, which it changes.
func without(list, others []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(list, func(a netip.Addr) bool { return slices.Contains(others, a) })
}

// withoutVIPs takes virtual addresses out of the host's own.
func withoutVIPs(locals []netip.Prefix, vips []netip.Addr) []netip.Prefix {
	return slices.DeleteFunc(locals, func(p netip.Prefix) bool { return p.IsSingleIP() && slices.Contains(vips, p.Addr()) })
}

// prepare brings steering and capture in line with what is about to be owned.
func (d *director) prepare() {
	d.inLineMu.Lock()
	defer d.inLineMu.Unlock()
	d.inLine.with = nil
	if err := d.reconcile(d.network.Snapshot()); err != nil {
		d.log.Error("not all is ready for a takeover; trying again", "error", err)
	}
}

// localOnes returns the virtual addresses that this host has or is about to have. One that
// another host answers for is that host's, even if packets for it are routed through here.
func localOnes(s *hostnet.Snapshot, vips []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(vips), func(a netip.Addr) bool { return !s.IsLocal(a) })
}

// keepPoints adds devices to those that are captured already. A device stays as long as it
// exists and nobody else owns it, up or down, with or without a route: its way back is
// sudden, and the stack would answer for the services until steering returned.
func keepPoints(s *hostnet.Snapshot, old, derived []int) []int {
	points := slices.Concat(old, derived)
	slices.Sort(points)
	return slices.DeleteFunc(slices.Compact(points), func(link int) bool {
		l, ok := s.LinkByIndex(link)
		return !ok || !l.Ethernet || l.Master != 0 && l.MasterKind != "vrf"
	})
}

// matches lists servers of the engine as steering has them.
func matches(servers []forwarding.ServiceKey) []steer.Match {
	list := make([]steer.Match, len(servers))
	for i, k := range servers {
		list[i] = steer.Match{Addr: k.Addr, Port: k.Port, Proto: k.Protocol}
	}
	return list
}

// answering lists servers as the engine has them.
func answering(servers []steer.Match) []forwarding.ServiceKey {
	keys := make([]forwarding.ServiceKey, len(servers))
	for i, m := range servers {
		keys[i] = forwarding.ServiceKey{Addr: m.Addr, Port: m.Port, Protocol: m.Proto}
	}
	return keys
}
