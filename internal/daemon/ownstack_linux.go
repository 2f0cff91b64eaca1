package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"uvs/forwarding"
	"uvs/forwarding/tap"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
)

const (
	// stackDevice is the pattern of the device's name.
	stackDevice = "uvs%d"
	// stackPriority is that of the rules: behind the table local, before what operators route by.
	stackPriority = 1

	// stackMTU is what every path of IPv6 takes, and almost every one of IPv4. The stack would not
	// learn of a narrower one: it looks for where to note that without ports, which the rules ask
	// for (ipv4_sk_update_pmtu in net/ipv4/route.c).
	stackMTU = 1280
)

// An ownStack leads packets for servers that are this machine itself into its stack, by a device
// of ours, and what these servers answer back out of it, past the routing table: rules send to
// the device what comes from a served address and port. After a crash the device is gone, and
// the rules lead nowhere, so that the routing table counts again; they are adopted by the next
// run. Its methods belong to the reconciler, but for those that status uses.
type ownStack struct {
	log     *slog.Logger
	host    changer
	workers int
	open    func(pattern string, workers, mtu int) (*tap.Group, error) // tap.Open, but in tests

	seen  bool    // a snapshot had the device and its routes as they should be
	ready [2]bool // the device has what IPv4, IPv6 need

	mu       sync.Mutex // guards what follows against status
	group    *tap.Group // nil: there is no device
	loopback int        // index of the loopback device, if something is sent there; else 0
	failed   string     // why there is none
}

func newOwnStack(log *slog.Logger, host changer, workers int) *ownStack {
	return &ownStack{log: log, host: host, workers: workers, open: tap.Open}
}

// apply makes what the ends of local servers need, or takes it away if there are none. Their
// services are not served while it fails, which is logged once and shown in status.
func (o *ownStack) apply(s *hostnet.Snapshot, ends []steer.Match) {
	err := o.bring(s, ends)
	text := ""
	if err != nil {
		text = err.Error()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if text != "" && text != o.failed {
		o.log.Error("servers that are this machine itself get no connections", "error", text)
	}
	o.failed = text
}

func (o *ownStack) bring(s *hostnet.Snapshot, ends []steer.Match) error {
	if len(ends) == 0 {
		return o.remove(s)
	}
	if err := o.ensure(s, ends); err != nil {
		return errors.Join(err, o.remove(s))
	}
	return o.setRules(s, stackRules(ends))
}

// ensure makes the device, and makes good what somebody does to it.
func (o *ownStack) ensure(s *hostnet.Snapshot, ends []steer.Match) error {
	if o.group != nil {
		link, _ := o.group.Link()
		_, there := s.LinkByIndex(link)
		complete := o.complete(s)
		switch {
		case !o.seen || complete:
		case there && o.host.Do(hostnet.SetUp{Link: link})[0] == nil:
			o.log.Warn("the device into this machine's own stack was set down or lost its routes, which is undone", "device", o.group.Name())
			o.ready = [2]bool{}
		default:
			o.log.Warn("somebody has removed the device into this machine's own stack; it is made anew", "device", o.group.Name())
			o.setGroup(nil) // the workers close it
		}
		o.seen = complete
	}
	if o.group != nil {
		return o.prepare(o.group, ends)
	}
	group, err := o.open(stackDevice, o.workers, stackMTU)
	switch {
	case errors.Is(err, tap.ErrMissing):
		return fmt.Errorf("%w; load the kernel module tun, or give the container /dev/net/tun", err)
	case err != nil:
		return err
	}
	o.ready = [2]bool{}
	if err := o.prepare(group, ends); err != nil {
		group.Close()
		return err
	}
	o.setGroup(group)
	o.log.Info("servers that are this machine itself are served by a device of their own", "device", group.Name())
	return nil
}

// prepare sets what the device lacks of parameters and routes for the families of the ends.
func (o *ownStack) prepare(g *tap.Group, ends []steer.Match) error {
	link, _ := g.Link()
	for n, v6 := range families() {
		if o.ready[n] || !hasFamily(ends, v6) {
			continue
		}
		// The device takes its settings with it.
		if err := hostnet.NewSettings(nil).Hold(hostnet.IntoStack(g.Name(), v6)...); err != nil {
			return err
		}
		if err := o.host.Do(hostnet.AddRoute{RouteSpec: stackRoute(link, v6)})[0]; err != nil && !errors.Is(err, hostnet.ErrExists) {
			return err
		}
		o.ready[n], o.seen = true, false
	}
	return nil
}

// complete reports whether the device is there and up, with the routes that it was given.
func (o *ownStack) complete(s *hostnet.Snapshot) bool {
	link, _ := o.group.Link()
	l, ok := s.LinkByIndex(link)
	for n, v6 := range families() {
		ok = ok && (!o.ready[n] || s.HasRoute(stackRoute(link, v6)))
	}
	return ok && l.Admin
}

// families says of each whether it is IPv6.
func families() [2]bool { return [2]bool{false, true} }

// setRules brings the rules in line. Those that are there already, or gone, are no error: a
// snapshot may be behind.
func (o *ownStack) setRules(s *hostnet.Snapshot, want []hostnet.Rule) error {
	var changes []hostnet.Change
	for _, r := range want {
		if !s.HasRule(r) {
			changes = append(changes, hostnet.AddRule{Rule: r})
		}
	}
	for r := range s.OwnRules() {
		if r.Table == hostnet.TableStack && !slices.ContainsFunc(want, func(w hostnet.Rule) bool { return w == r }) {
			changes = append(changes, hostnet.DeleteRule{Rule: r})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	var errs []error
	for _, err := range o.host.Do(changes...) {
		if err != nil && !errors.Is(err, hostnet.ErrExists) && !errors.Is(err, hostnet.ErrNoRule) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// remove takes the rules away and lets go of the device, which goes when the workers close it.
func (o *ownStack) remove(s *hostnet.Snapshot) error {
	if o.group != nil {
		o.log.Info("no server is this machine itself any more", "device", o.group.Name())
		o.setGroup(nil)
	}
	return o.setRules(s, nil)
}

// close takes everything away, at the end.
func (o *ownStack) close(s *hostnet.Snapshot) error {
	o.mu.Lock()
	group := o.group
	o.group = nil
	o.mu.Unlock()
	if group != nil {
		group.Close()
	}
	return o.setRules(s, nil)
}

func (o *ownStack) setGroup(g *tap.Group) {
	o.mu.Lock()
	o.group = g
	o.mu.Unlock()
}

// way is what the data plane is told.
func (o *ownStack) way(s *hostnet.Snapshot, ends []steer.Match, bare bool) forwarding.Stack {
	if o.group == nil || o.failed != "" {
		return forwarding.Stack{}
	}
	w := forwarding.Stack{Virtual: !bare}
	w.Link, w.MAC = o.group.Link()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.loopback = 0
	if slices.ContainsFunc(ends, func(m steer.Match) bool { return m.Addr == netip.IPv6Loopback() }) {
		i := slices.IndexFunc(s.Links, func(l hostnet.Link) bool { return l.Loopback && l.Up })
		if i >= 0 {
			o.loopback = s.Links[i].Index
		}
	}
	w.Loopback = o.loopback
	return w
}

// notes say why servers that are this machine itself are not served. Safe for use by many
// goroutines.
func (o *ownStack) notes() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == "" {
		return nil
	}
	return []string{"servers that are this machine itself get no connections: " + o.failed}
}

// stackRoute leads everything to the device.
func stackRoute(link int, v6 bool) hostnet.RouteSpec {
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if v6 {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return hostnet.RouteSpec{
		Kind: hostnet.Unicast, Dst: all, Table: hostnet.TableStack, Protocol: hostnet.ProtocolKeepalived, Hops: []hostnet.HopSpec{{Link: link}},
	}
}

// stackRules are the rules for the ends of local servers, as the kernel tells them. Answers of
// servers by direct routing of a mark leave by the routing table, as their ends are not known.
func stackRules(ends []steer.Match) []hostnet.Rule {
	rules := make([]hostnet.Rule, 0, len(ends))
	for _, m := range ends {
		if m.Addr.IsUnspecified() {
			continue
		}
		r := hostnet.Rule{
			IPv6: m.Addr.Is6(), Priority: stackPriority, Src: netip.PrefixFrom(m.Addr, m.Addr.BitLen()), IPProtocol: m.Proto,
			Action: 1, Table: hostnet.TableStack, Protocol: hostnet.ProtocolKeepalived,
		}
		if m.Port != 0 {
			r.SourcePorts = hostnet.RuleRange{Set: true, First: uint32(m.Port), Last: uint32(m.Port)}
		}
		rules = append(rules, r)
	}
	return rules
}

func hasFamily(ends []steer.Match, v6 bool) bool {
	return slices.ContainsFunc(ends, func(m steer.Match) bool { return m.Addr.Is6() == v6 })
}
