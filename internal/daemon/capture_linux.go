package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"uvs/forwarding"
	"uvs/forwarding/afpacket"
	"uvs/forwarding/tap"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
	"uvs/internal/wire"
)

// closeWait is how long a change of ports waits for the workers to close those that go, so
// that their memory is free for others. They do so within a batch.
const closeWait = time.Second

// A capture owns the ports of all interfaces and hands them to the workers. Its methods
// belong to the reconciler's goroutine, but for those that status uses.
type capture struct {
	engine   *forwarding.Engine
	log      *slog.Logger
	asked    string // --io
	transmit string // --transmit
	budget   ringBudget
	send     int // bytes that a port may have on its way out
	offloads *offloads
	vips     []netip.Addr                                   // that the groups know
	open     func(afpacket.Config) (*afpacket.Group, error) // afpacket.Open, but in tests
	lanes    map[int]*lanes                                 // by interface, of those with ports
	diverter *steer.Diverter                                // nil: nothing is diverted
	noDivert string                                         // why, if it was asked for

	mu       sync.Mutex // guards what follows against status
	groups   map[int]*portGroup
	stack    *tap.Group                      // nil: there is none
	retiring []*portGroup                    // handed over for closing
	past     map[string]forwarding.PortStats // of closed groups, by interface name
}

// A portGroup is what is open on one interface.
type portGroup struct {
	name  string // of the interface
	group *afpacket.Group
	ports []forwarding.Port // the group's, by worker
	plan  ringPlan          // the zero plan only sends
	lanes *lanes

	mode, reason string // for status: how frames come in and go out, and why not better
}

func (g *portGroup) receives() bool { return g.plan.receivers > 0 }

// tell brings the group's words for status up to date. notIn says why plain frames do not come
// in by AF_XDP although they were to.
func (g *portGroup) tell(notIn string) {
	g.mode = g.lanes.in() + g.plan.shape.String() + "/" + g.lanes.by()
	if !g.receives() {
		notIn = ""
	}
	g.reason = join(join(g.plan.reason, notIn), g.lanes.reason)
}

func newCapture(e *forwarding.Engine, o *Options, m memory) *capture {
	c := &capture{
		engine:   e,
		log:      o.Log,
		asked:    o.IO,
		transmit: o.Transmit,
		budget:   newRingBudget(o.RingMemory, m),
		send:     sendBuffer(m),
		offloads: &offloads{dir: runDir(o.RunDir), switches: realSwitches()},
		open:     afpacket.Open,
		lanes:    make(map[int]*lanes),
		groups:   make(map[int]*portGroup),
		past:     make(map[string]forwarding.PortStats),
	}
	if c.asked == ioAFXDP {
		c.openDiverter()
	}
	return c
}

// A want is what an interface should have.
type want struct {
	link     hostnet.Link
	receive  bool
	share    int // bytes for receiving
	maxFrame int // the interface's longest frame
}

// apply opens ports on the planned interfaces and hands all of them to the workers; those
// that are no longer planned go. A ring stays open while its interface goes down and up: the
// kernel hooks the socket in again by itself. An interface that cannot be opened keeps none
// of the others from being used; the error names it.
func (c *capture) apply(p portPlan, s *hostnet.Snapshot, vips []netip.Addr) error {
	wants := c.wants(p, s)
	next := make(map[int]*portGroup, len(wants))
	for link, g := range c.groups {
		if _, ok := wants[link]; ok {
			next[link] = g
		}
	}
	var errs []error
	for link, g := range next {
		if g.receives() && !slices.Equal(vips, c.vips) {
			errs = append(errs, g.group.SetVIPs(vips))
		}
		if l, ok := s.LinkByIndex(link); ok {
			c.rename(g, l.Name)
		}
	}
	c.vips = slices.Clone(vips)
	moved := p.stack != c.stack
	c.setStack(p.stack)
	// Memory becomes free before more is taken.
	c.handOver(next, moved)
	for _, link := range slices.Sorted(maps.Keys(next)) {
		if w := wants[link]; w.link.Index != 0 && !next[link].serves(w) {
			errs = append(errs, c.replace(next, w))
		}
	}
	for _, link := range slices.Sorted(maps.Keys(wants)) {
		if w := wants[link]; w.link.Index != 0 && next[link] == nil {
			errs = append(errs, c.add(next, w))
		}
	}
	c.handOver(next, false)
	errs = append(errs, c.divertTo(next, s))
	restored, err := c.offloads.restore(s, func(link int) bool { return next[link] != nil && next[link].plan.shape.Plain })
	for _, line := range restored {
		c.log.Info(line)
	}
	return errors.Join(append(errs, err)...)
}

// wants lists what the plan's interfaces should have. One that is down, or has just gone,
// keeps what it has: its want names no link.
func (c *capture) wants(p portPlan, s *hostnet.Snapshot) map[int]want {
	wants := make(map[int]want, len(p.captured)+len(p.sendOnly))
	share := ringShare(c.budget.bytes, len(p.captured))
	list := func(links []int, receive bool) {
		for _, link := range links {
			w := want{}
			if l, ok := s.LinkByIndex(link); ok && sendable(l) {
				w = want{link: l, receive: receive, share: share, maxFrame: l.MTU + wire.EthernetLen}
			}
			wants[link] = w
		}
	}
	list(p.captured, true)
	list(p.sendOnly, false)
	if l, ok := s.LinkByIndex(p.loopback); ok {
		wants[p.loopback] = want{link: l}
	}
	return wants
}

// serves reports whether a group is what an interface should have. A ring that is smaller
// than could be stays: growing is not worth a change.
func (g *portGroup) serves(w want) bool {
	if !w.receive || !g.receives() {
		return w.receive == g.receives()
	}
	return g.plan.bytes() <= g.lanes.rest(w.share) && (!g.plan.shape.Plain || w.maxFrame <= g.plan.shape.MaxFrame)
}

// add opens ports where there are none.
func (c *capture) add(next map[int]*portGroup, w want) error {
	g, err := c.openGroup(w)
	if g == nil || err != nil {
		return err
	}
	next[w.link.Index] = g
	return g.group.Start()
}

// replace puts other ports in the place of those that an interface has. No frame comes by
// both, and what waits in the old ones is still forwarded.
func (c *capture) replace(next map[int]*portGroup, w want) error {
	old := next[w.link.Index]
	g, err := c.openGroup(w)
	if g == nil || err != nil {
		return err
	}
	err = errors.Join(old.group.Stop(), g.group.Start())
	next[w.link.Index] = g
	c.handOver(next, false)
	return err
}

// openGroup opens the first of the planned ways that can be. An interface that has just
// gone is no error: the next snapshot tells.
func (c *capture) openGroup(w want) (*portGroup, error) {
	config := afpacket.Config{
		Link: w.link.Index, MAC: w.link.MAC, Workers: len(c.engine.Workers()), SendBuffer: c.send, VIPs: c.vips,
	}
	if !w.receive {
		return c.try(w, config, ringPlan{})
	}
	plans := planRings(c.asked, c.lanesOf(w).rest(w.share), config.Workers, w.maxFrame)
	if len(plans) == 0 {
		c.leaveLanes(w.link.Index)
		return nil, fmt.Errorf("capture %s: no receive ring fits its %s of the ring memory, %s in all (%s); give more with --ring-memory",
			w.link.Name, mebibytes(w.share), mebibytes(int(c.budget.bytes)), c.budget.source)
	}
	failed := ""
	for _, p := range plans {
		p.reason = join(failed, p.reason)
		if p.shape.Plain {
			if err := c.offloads.switchOff(w.link); err != nil {
				p.reason = join(p.reason, err.Error())
			}
		}
		g, err := c.try(w, config, p)
		if err == nil {
			return g, nil
		}
		failed = join(failed, fmt.Sprintf("%s: %v", name(p.shape), err))
	}
	c.leaveLanes(w.link.Index)
	return nil, fmt.Errorf("capture %s: %s", w.link.Name, failed)
}

// try opens a group in one way.
func (c *capture) try(w want, config afpacket.Config, p ringPlan) (*portGroup, error) {
	config.Shape, config.Receivers, config.Memory = p.shape, p.receivers, p.memory
	group, err := c.open(config)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		c.leaveLanes(w.link.Index)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p.reason != "" {
		c.log.Warn("frames do not come in as they best would", "interface", w.link.Name, "mode", p.shape.String(), "reason", p.reason)
	}
	lanes := c.lanesOf(w)
	g := &portGroup{name: w.link.Name, group: group, ports: lanes.ports(group), plan: p, lanes: lanes}
	g.tell("")
	return g, nil
}

// lanesOf returns the queues of an interface, which are opened with its first ports.
func (c *capture) lanesOf(w want) *lanes {
	l := c.lanes[w.link.Index]
	if l == nil {
		l = openLanes(laneWish{transmit: c.transmit, receive: c.diverter != nil, memory: w.share / xdpFraction, workers: len(c.engine.Workers())}, w.link)
		c.lanes[w.link.Index] = l
		if l.reason != "" {
			c.log.Info("frames go out by sendmmsg", "interface", w.link.Name, "reason", l.reason)
		}
	}
	return l
}

// leaveLanes gives up the queues of an interface that has no ports.
func (c *capture) leaveLanes(link int) {
	if l := c.lanes[link]; l != nil && c.groups[link] == nil {
		l.close() //nolint:errcheck // nothing can be done about a socket that does not close
		delete(c.lanes, link)
	}
}

func (c *capture) setStack(g *tap.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stack = g
}

// handOver gives the workers their ports, if they do not have them or the own stack's are
// others, and waits until what they had and get no more is closed.
func (c *capture) handOver(next map[int]*portGroup, stack bool) {
	if maps.Equal(next, c.groups) && !stack {
		return
	}
	var leaving []*portGroup
	c.mu.Lock()
	for link, g := range c.groups {
		if next[link] != g {
			leaving = append(leaving, g)
		}
	}
	c.groups = maps.Clone(next)
	c.retiring = append(c.retiring, leaving...)
	c.mu.Unlock()
	for _, g := range leaving {
		g.group.Stop() //nolint:errcheck // it is about to be closed
	}
	for link, l := range c.lanes {
		if next[link] == nil {
			c.retire(l)
			l.close() //nolint:errcheck // nothing can be done about a socket that does not close
			delete(c.lanes, link)
		}
	}
	for i, w := range c.engine.Workers() {
		ports := make([]forwarding.Port, 0, len(next))
		for _, g := range next {
			ports = append(ports, g.ports[i])
		}
		for _, g := range next { // behind those that send
			ports = append(ports, g.lanes.receiversOf(i)...)
		}
		if c.stack != nil {
			ports = append(ports, c.stack.Ports()[i])
		}
		w.SetPorts(ports)
	}
	timeout := time.NewTimer(closeWait)
	defer timeout.Stop()
	for _, g := range leaving {
		select {
		case <-g.group.Closed():
		case <-timeout.C:
			return
		}
	}
}

func (c *capture) rename(g *portGroup, name string) {
	c.mu.Lock()
	g.name = name
	c.mu.Unlock()
}

// sendBuffer returns what a port may have on its way out: 16 MiB take a batch of the longest
// frames, and a machine of less than 4 GiB gets along with less.
func sendBuffer(m memory) int { return int(min(max(m.bytes/256, 1<<20), 16<<20)) }

// restoreOffloads returns what switches on again all that was switched off.
func (c *capture) restoreOffloads(network func() *hostnet.Snapshot) func() error {
	return func() error {
		_, err := c.offloads.restore(network(), func(int) bool { return false })
		return err
	}
}
