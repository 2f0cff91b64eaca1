package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"uvs/config"
	"uvs/control"
	"uvs/internal/announce"
	"uvs/internal/hostnet"
	"uvs/internal/mono"
	"uvs/vrrp"
	"uvs/vrrp/router"
)

// A vrrpPlan is what of a configuration concerns VRRP.
type vrrpPlan struct {
	spec      vrrp.Spec
	ends      []router.Endpoint
	instances []vrrpInstance
	virtual   []netip.Addr // addresses of all instances: none of them is a source
	tracked   []string     // interfaces that any instance or group follows, each once
	pace      pacePlan
	delays    []config.InterfaceDelay

	rtPriority int // of vrrp_rt_priority, 0 if it is not set; read at the start only
}

// A vrrpInstance is what an instance needs of the host.
type vrrpInstance struct {
	name    string
	device  string // of its adverts; "" for none
	sender  string // that adverts leave by: device, or that of the virtual MAC
	source  netip.Addr
	ipv6    bool
	unicast bool
	extra   bool // extra announcements are for all other interfaces, not only for virtual MACs
}

// A redundancy floats what instances own between directors: it tells the router of the host,
// and does on the host what the router's Machine decides.
type redundancy struct {
	d      *director
	log    *slog.Logger
	router *router.Router

	backup atomic.Bool // there are instances, and none owns anything

	heard map[string]bool // instances that have heard another master; of do's goroutine

	mu     sync.Mutex // guards what follows
	plan   vrrpPlan
	paces  *paces
	owning map[string]bool // instances
	links  map[string]bool // interfaces as the Machine knows them
	bounce *debouncer
	bursts map[string]context.CancelFunc // announcements under way, by instance
	group  sync.WaitGroup                // of bursts and probes
	ctx    context.Context               // of these
	cancel context.CancelFunc
}

// planVRRP is what of a configuration concerns VRRP. It is pure.
func planVRRP(c *config.Config) (p vrrpPlan, notes []string) {
	p.spec, p.ends, notes = translateVRRP(c)
	p.pace, p.delays = planPace(c), c.InterfaceDelays
	p.rtPriority = c.Global.VRRP.RealtimePriority
	for n := range c.Instances {
		i := &c.Instances[n]
		x := vrrpInstance{name: i.Name, device: i.Interface, sender: i.Interface, source: i.Send.Source, ipv6: i.IPv6, unicast: i.Send.Unicast(), extra: i.Announce.ExtraAll}
		if name := deviceName(i); name != "" && !i.Send.FromBase {
			x.sender = name
		}
		p.instances = append(p.instances, x)
	}
	p.virtual = virtualAddresses(c.Instances)
	follow := func(list []vrrp.Tracked) {
		for _, t := range list {
			if t.Object.Kind == vrrp.KindInterface && !slices.Contains(p.tracked, t.Object.Name) {
				p.tracked = append(p.tracked, t.Object.Name)
			}
		}
	}
	for _, i := range p.spec.Instances {
		follow(i.Track)
	}
	for _, g := range p.spec.Groups {
		follow(g.Track)
	}
	return p, notes
}

// virtualAddresses are those of all instances. None of them is the source of an advert.
func virtualAddresses(instances []config.Instance) (list []netip.Addr) {
	for n := range instances {
		for _, a := range slices.Concat(instances[n].Addresses, instances[n].Excluded) {
			list = append(list, a.Prefix.Addr())
		}
	}
	return list
}

func newRedundancy(d *director, p vrrpPlan) (*redundancy, error) {
	r := &redundancy{d: d, log: d.log, plan: p, paces: newPaces(p.pace), owning: make(map[string]bool), heard: make(map[string]bool), links: make(map[string]bool), bursts: make(map[string]context.CancelFunc)}
	r.bounce = newDebouncer(p.delays)
	r.backup.Store(len(p.instances) > 0)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	var err error
	r.router, err = router.New(router.Options{Spec: p.spec, Endpoints: p.ends, OnEffects: r.do, Realtime: p.realtime(&d.opts)})
	if err != nil {
		return nil, fmt.Errorf("VRRP: %w", err)
	}
	return r, nil
}

// run works until ctx is cancelled.
func (r *redundancy) run(ctx context.Context) error {
	err := r.router.Run(ctx)
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.group.Wait()
	return err
}

// start tells the Machine of the host and lets it begin. It returns when all is done that it
// says to that: who owns its addresses has them.
func (r *redundancy) start(ctx context.Context) {
	r.follow()
	r.router.Tell(vrrp.Start{})
	r.router.Settle(ctx)
}

// releaseAfter lets living masters be preempted once the checks know of each server whether it
// serves, or at the latest after a time.
func (r *redundancy) releaseAfter(verdicts <-chan struct{}, limit time.Duration) {
	r.group.Go(func() {
		select {
		case <-r.ctx.Done():
		case <-verdicts:
			r.router.Tell(vrrp.Release{})
		case <-time.After(limit):
			r.log.Warn("not all servers have been judged; masters of lower priority are preempted all the same", "after", limit)
			r.router.Tell(vrrp.Release{})
		}
	})
}

// reload replaces what runs. It returns when all is done that follows from it at once.
func (r *redundancy) reload(ctx context.Context, p vrrpPlan) {
	r.mu.Lock()
	r.plan, r.paces = p, newPaces(p.pace)
	r.bounce.configure(p.delays)
	clear(r.links) // what a new instance follows is told of, whether it is news or not
	r.mu.Unlock()
	r.follow()
	r.router.Reload(p.spec, p.ends)
	r.follow() // the places of new instances
	r.router.Settle(ctx)
}

// tellAgain announces what was put back.
func (r *redundancy) tellAgain(instance string) { r.tell(instance, 1) }

// follow tells the Machine what has become of the network. Whoever calls it, it never goes back
// to an older picture.
func (r *redundancy) follow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.d.network.Snapshot()
	for _, name := range r.plan.tracked {
		link, ok := r.d.links.find(s, name)
		up := r.counts(name, link.Up, ok)
		if was, known := r.links[name]; known && was == up {
			continue
		}
		r.links[name] = up
		reason := ""
		if !ok {
			reason = "there is no such interface"
		}
		r.router.Tell(vrrp.ObjectChanged{Object: vrrp.Object{Kind: vrrp.KindInterface, Name: name}, Up: up, Reason: reason})
	}
	for i := range r.plan.instances {
		x := &r.plan.instances[i]
		r.router.SetPlace(x.name, x.place(s, r.d.links, r.plan.virtual))
	}
}

// counts reports whether an interface counts as up, and has follow called when that may change
// by itself. r.mu is held.
func (r *redundancy) counts(name string, up, there bool) bool {
	if !there {
		r.bounce.gone(name)
		return false
	}
	counted, again := r.bounce.counts(name, up, mono.Now())
	if again > 0 && r.ctx.Err() == nil {
		r.later(again, func(context.Context) { r.follow() })
	}
	return counted
}

// place is where an instance is on the host. None of the virtual addresses, its own or not, is
// its source: they come and go. (Of IPv6's, the kernel even has the newest first.)
func (x *vrrpInstance) place(s *hostnet.Snapshot, links *linkNames, virtual []netip.Addr) router.Place {
	var p router.Place
	link, ok := links.find(s, x.device)
	if ok {
		p.Listen = router.Device{Index: link.Index, Name: link.Name}
		p.Send = p.Listen
	}
	if sender, there := links.find(s, x.sender); there && x.sender != x.device {
		p.Send = router.Device{Index: sender.Index, Name: sender.Name}
		if !x.unicast && sender.Kind == string(hostnet.Macvlan) {
			// A multicast frame of another router with the same MAC is for the kernel one that we sent:
			// a private macvlan has it to itself, and the device below never sees it.
			p.Listen = p.Send
		}
	} else if !there {
		ok = ok && x.sender == x.device
	}
	switch {
	case x.device != "" && !ok:
	case x.source.IsValid():
		if s.IsLocal(x.source) || !x.unicast { // a multicast packet may come from any address
			p.Source = x.source
		}
	case ok:
		p.Source, _ = s.SourceOf(link.Index, x.ipv6, func(a netip.Addr) bool { return slices.Contains(virtual, a) })
	}
	return p
}

// do does what the Machine says. It is called by one goroutine of the router. What all
// takeovers of one moment need of steering and capture is done at once, before any address is
// there.
func (r *redundancy) do(effects []vrrp.Effect) {
	var owners []string
	for _, e := range effects {
		if own, ok := e.(vrrp.Own); ok {
			owners = append(owners, own.Instance)
		}
	}
	if len(owners) > 0 {
		r.own(true, owners...)
		r.d.holdings.begin(owners...)
		r.d.prepare()
	}
	for _, e := range effects {
		r.doOne(e)
	}
}

// own notes that instances own what is theirs, or no longer. When the last one yields, or the
// first one takes over, it may be that packets are to be left alone.
func (r *redundancy) own(owns bool, instances ...string) {
	r.mu.Lock()
	for _, i := range instances {
		if owns {
			r.owning[i] = true
		} else {
			delete(r.owning, i)
		}
	}
	backup := len(r.plan.instances) > 0 && len(r.owning) == 0
	r.mu.Unlock()
	if r.backup.Swap(backup) != backup && r.d.engine.Sysctls().BackupOnly {
		r.d.fallBehind()
		r.d.look()
	}
}

// standby reports whether VRRP is configured and no instance is master.
func (r *redundancy) standby() bool { return r.backup.Load() }

func (r *redundancy) doOne(e vrrp.Effect) {
	switch e := e.(type) {
	case vrrp.Own:
		r.own(true, e.Instance) // it may have yielded since do looked
		r.d.holdings.begin(e.Instance)
		r.d.holdings.take(r.d.network.Snapshot(), e.Instance)
		r.d.look()
	case vrrp.Disown:
		r.give(e.Instance)
		r.own(false, e.Instance)
	case vrrp.MasterSeen:
		r.log.Info(fmt.Sprintf("(%s) sees master %s", e.Instance, e.Master))
		r.heard[e.Instance] = true
		r.give(e.Instance) // what a crash left is not ours any more
	case vrrp.Tell:
		r.tell(e.Instance, e.Repeat)
	case vrrp.TellElsewhere:
		r.tellElsewhere(e.Instance)
	case vrrp.Changed:
		r.changed(e)
	case vrrp.Renamed:
		r.rename(e)
	case vrrp.GroupChanged:
		r.log.Info(fmt.Sprintf("VRRP_Group(%s) is %s", e.Group, e.To))
	case vrrp.Log:
		r.log.Log(context.Background(), levelOfVRRP(e.Level), e.Text)
	}
	r.d.herald.tell(e)
}

// rename goes on with an instance under another name. What it owns, holdings know by the new name
// since the new plan; it may have yielded meanwhile.
func (r *redundancy) rename(e vrrp.Renamed) {
	r.heard[e.To] = r.heard[e.From]
	delete(r.heard, e.From)
	owns := e.State == vrrp.Master || e.State == vrrp.Leaving
	r.mu.Lock()
	if cancel := r.bursts[e.From]; cancel != nil {
		r.bursts[e.To] = cancel
		delete(r.bursts, e.From)
	}
	r.mu.Unlock()
	r.own(owns, e.To)
	r.own(false, e.From)
	if !owns {
		r.give(e.To)
	}
}

func levelOfVRRP(l vrrp.Level) slog.Level {
	switch l {
	case vrrp.Debug:
		return slog.LevelDebug
	case vrrp.Warn:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// give takes from the host what an instance owns, and tells nobody of it any more.
func (r *redundancy) give(instance string) {
	r.mu.Lock()
	if cancel := r.bursts[instance]; cancel != nil {
		cancel()
		delete(r.bursts, instance)
	}
	r.mu.Unlock()
	if err := r.d.holdings.give(r.d.network.Snapshot(), instance); err != nil {
		r.log.Error("not all could be given up", "instance", instance, "error", err)
	}
	r.d.look()
}

// changed notes a new state.
func (r *redundancy) changed(e vrrp.Changed) {
	r.log.Info(fmt.Sprintf("(%s) %s, was %s: %s", e.Instance, e.To, e.From, e.Reason), "priority", e.Priority)
	switch e.To {
	case vrrp.Fault:
		r.give(e.Instance) // of a crash
	case vrrp.Master:
		if r.heard[e.Instance] {
			// What has no flow here had one in the other's memory, and is lost: its clients are told.
			r.d.engine.EndSilence()
		}
		r.later(conflictDelay, func(ctx context.Context) { r.probe(ctx, e.Instance) })
	}
}

// tell announces the addresses of an instance, without waiting for the end of it.
func (r *redundancy) tell(instance string, rounds int) {
	s := r.d.network.Snapshot()
	targets := r.d.holdings.targets(s, instance)
	if len(targets) == 0 {
		return
	}
	for _, t := range targets {
		what := "gratuitous ARPs"
		if t.Addr.Is6() {
			what = "Unsolicited Neighbour Adverts"
		}
		r.log.Debug(fmt.Sprintf("(%s) Sending/queueing %s on %s for %s", instance, what, t.Link.Name, t.Addr))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return // nobody would wait for it
	}
	if cancel := r.bursts[instance]; cancel != nil {
		cancel() // what it has not said yet is said now
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.bursts[instance] = cancel
	r.paces.limit(s, targets)
	r.group.Go(func() {
		if err := announce.Burst(ctx, targets, rounds); err != nil && ctx.Err() == nil {
			r.log.Warn("virtual addresses could not be announced", "instance", instance, "error", err)
		}
	})
}

// tellElsewhere announces an address of each family on each other interface than that of the adverts.
func (r *redundancy) tellElsewhere(instance string) {
	s := r.d.network.Snapshot()
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.plan.instances, func(x vrrpInstance) bool { return x.name == instance })
	if at < 0 || r.ctx.Err() != nil {
		return
	}
	x := &r.plan.instances[at]
	targets := elsewhere(r.d.holdings.targets(s, instance), s, x)
	r.paces.limit(s, targets)
	r.group.Go(func() {
		if err := announce.Burst(r.ctx, targets, 1); err != nil && r.ctx.Err() == nil {
			r.log.Warn("virtual addresses could not be announced on other interfaces", "instance", instance, "error", err)
		}
	})
}

// elsewhere is the first target of each family and interface that is not one of the instance's
// adverts; unless all are asked for, of virtual MACs only.
func elsewhere(targets []announce.Target, s *hostnet.Snapshot, x *vrrpInstance) (list []announce.Target) {
	for _, t := range targets {
		link, _ := s.LinkByIndex(t.Link.Index)
		switch {
		case t.Link.Name == x.device || t.Link.Name == x.sender:
		case !x.extra && link.Kind != string(hostnet.Macvlan):
		case slices.ContainsFunc(list, func(o announce.Target) bool { return o.Link.Index == t.Link.Index && o.Addr.Is6() == t.Addr.Is6() }):
		default:
			list = append(list, t)
		}
	}
	return list
}

// conflictDelay is when, after a takeover, addresses are probed for: the old master has
// heard of it by then.
const conflictDelay = 2 * time.Second

// later calls f after a time, unless the router has ended.
func (r *redundancy) later(d time.Duration, f func(context.Context)) {
	r.group.Go(func() {
		select {
		case <-r.ctx.Done():
		case <-time.After(d):
			f(r.ctx)
		}
	})
}

// probe asks whether another host answers for addresses that an instance has taken: one that
// knows nothing of VRRP, or that cannot hear us.
func (r *redundancy) probe(ctx context.Context, instance string) {
	s := r.d.network.Snapshot()
	var wg sync.WaitGroup
	for _, p := range r.d.holdings.ownedBy(instance) {
		link, ok := r.d.links.find(s, p.device)
		if !ok || link.Loopback || !link.Ethernet {
			continue
		}
		wg.Go(func() {
			owner, found, err := announce.Probe(ctx, announceLink(link), p.prefix.Addr(), announce.ProbeOptions{Own: macsOf(s)})
			switch {
			case err != nil:
			case found && r.d.holdings.claim(p, owner.String()):
				r.log.Error("another host answers for a virtual address of ours", "instance", instance,
					"address", p.prefix, "interface", p.device, "mac", owner.String())
			case !found:
				r.d.holdings.claim(p, "")
			}
		})
	}
	wg.Wait()
}

// stop lets masters leave, and waits for their successors as long as the Machine wants.
func (r *redundancy) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	r.router.Stop(ctx)
}

// stopTimeout is more than the longest wait for a successor: an advert interval of 40.95 s
// and some. It is only for a thread that hangs.
const stopTimeout = time.Minute

// status tells of VRRP, nil if nothing of it is configured.
func (r *redundancy) status(ctx context.Context) *control.VRRP {
	r.mu.Lock()
	spec := r.plan.spec
	r.mu.Unlock()
	if len(spec.Instances) == 0 {
		return nil
	}
	var out control.VRRP
	states := make(map[string]vrrp.State)
	for _, s := range r.router.Status(ctx) {
		at := slices.IndexFunc(spec.Instances, func(i vrrp.Instance) bool { return i.Name == s.Instance })
		if at < 0 {
			continue // a reload is under way
		}
		states[s.Instance] = s.State
		out.Instances = append(out.Instances, instanceStatus(&spec.Instances[at], &s))
	}
	for _, g := range spec.Groups {
		state := vrrp.Stopped
		for _, m := range g.Members {
			state = min(state, states[m])
		}
		out.Groups = append(out.Groups, control.VRRPGroup{Name: g.Name, Members: g.Members, State: state.String()})
	}
	late := r.router.Lateness()
	out.Timers = control.VRRPTimers{Deadlines: late.Deadlines, Worst: control.ExactDuration(late.Worst), Recent: control.ExactDuration(late.Recent)}
	if late.Deadlines > 0 {
		out.Timers.Mean = control.ExactDuration(late.Sum / time.Duration(late.Deadlines)) //nolint:durationcheck // a mean
	}
	return &out
}

func instanceStatus(i *vrrp.Instance, s *vrrp.Status) control.VRRPInstance {
	x := control.VRRPInstance{
		Name: i.Name, Interface: i.Interface, VRID: i.VRID, Version: i.Version, IPv6: i.IPv6, Group: s.Group,
		State: s.State.String(), Since: wallClock(s.Since), Reason: s.Reason,
		Priority: s.Priority, Effective: s.Effective, Source: s.Source, Master: s.Master, MasterPriority: s.MasterPriority,
		AdvertsSent: s.Counters.AdvertsSent, AdvertsReceived: s.Counters.AdvertsReceived,
		BecameMaster: s.Counters.BecameMaster, ReleasedMaster: s.Counters.ReleasedMaster, Conflicts: s.Counters.Conflicts,
	}
	for cause, n := range s.Counters.Rejected {
		if n > 0 {
			if x.Rejected == nil {
				x.Rejected = make(map[string]uint64)
			}
			x.Rejected[vrrp.Cause(cause).String()] = n
		}
	}
	if c := s.Conflict; c.Why != "" {
		x.Conflict = &control.VRRPConflict{Peer: c.Peer, Since: wallClock(c.Since), Reason: c.Why, Adverts: c.Adverts, LastHeard: wallClock(c.Last)}
	}
	return x
}

// wallClock is a monotonic time as the clock on the wall has it now, the zero time for 0.
func wallClock(t mono.Time) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Now().Add(-mono.Now().Sub(t))
}
