// Package daemon composes the engines to a director. It is the only package that knows
// several of them: it translates the configuration into their terms, starts and stops them
// in order, and carries what one learns to the other.
//
// # Order
//
// Adding goes steering → capture → service table → address and announcement, so that no
// packet reaches the kernel's stack between two steps; removing goes the other way. A
// failed step takes back what was done. A crash leaves steering and addresses in place on
// purpose (the stack stays silent instead of resetting connections); the next run adopts
// both, and Cleanup removes them.
//
// # Goroutines
//
// Run owns all of them and waits for each: the engine's workers, the network watcher, the
// reconciler (it alone changes steering, ports and routes once the director runs), the
// keeper of the addresses, those who answer for them where steering is bare, VRRP with what
// it tracks and tells, the health checks, whose events change the service table (those of
// virtual addresses have readers of their answers), the neighbour keeper, the preflight and the watch for own connections, which look and change
// nothing, the control API, and the watch over the others that pings systemd's watchdog.
package daemon

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"uvs/conntrack"
	"uvs/control"
	"uvs/forwarding"
	"uvs/health"
	"uvs/internal/hostnet"
	"uvs/internal/steer"
	"uvs/internal/systemd"
	"uvs/internal/table"
)

// Options are the daemon-level settings of a run, from flags and environment.
type Options struct {
	ConfigFile     string        // path of keepalived.conf; empty: begin without services
	ConfigID       string        // chooses lines with @; empty: the machine's name
	Extra          string        // path of the file with what is ours alone; empty: there is none
	RunDir         string        // where the control socket and the state for the next run live
	Steer          string        // steering backend: "auto" or one of steer.Names
	Workers        int           // forwarding threads; 0: one for each usable CPU
	MaxConnections int           // bound of the flow table; 0: from the machine's memory
	IO             string        // how frames come in: "auto", "v2", "v3", "recvmmsg", "plain" or "afxdp"
	Transmit       string        // how frames go out: "auto", "sendmmsg" or "afxdp"
	BusyPoll       time.Duration // how long a worker looks for frames before it sleeps
	RingMemory     uint64        // bytes for all receive rings together; 0: from the machine's memory
	MaxProbes      int           // health checks under way at a time; 0: health.DefaultMaxProbes
	Strict         bool          // refuse a configuration with any error
	Sysctls        []string      // NAME=VALUE of IPVS's settings
	FTPPorts       []uint16      // of services by NAT whose control connections of FTP are read
	// HealthWait bounds how long a living master is left alone until the servers have been
	// judged; 0 does not wait at all.
	HealthWait time.Duration
	// VRRPRealtime is the priority of VRRP's thread under SCHED_RR, 1 to 99, unless the
	// configuration has another; 0 leaves it to the ordinary scheduler.
	VRRPRealtime int
	// Reload delivers requests to read the configuration again (SIGHUP); nil: there are none.
	Reload  <-chan struct{}
	Version string // as `uvs version` prints it
	Log     *slog.Logger
	Systemd *systemd.Notifier // nil: systemd is told nothing
}

// orphanTime is for how long an end of a connection retransmits to one that does not answer
// (net.ipv4.tcp_retries2: 924.6 s by default), and some.
const orphanTime = 16 * time.Minute

// A director is one run. Its fields are set while it starts and do not change afterwards,
// but for what says so.
type director struct {
	opts    Options
	log     *slog.Logger
	started time.Time
	memory  memory // that the process may count on
	crashed bool   // the last run ended without cleaning up

	network   *hostnet.Watcher
	steer     *steer.Steerer // guarded by inLineMu
	gate      steer.Gate     // the same
	stack     *ownStack      // the same
	engine    *forwarding.Engine
	capture   *capture
	maxFlows  int    // bound of the engine's flow table
	flowsFrom string // what it comes from
	health    *health.Set
	actor     *hostnet.Actor
	links     *linkNames
	holdings  *holdings
	floating  *redundancy
	programs  *programs
	fitness   *fitness
	herald    *herald
	macs      *virtualMACs
	host      hostFindings
	own       *ownConnections
	answers   chan struct{} // holds one: what is answered for may have changed

	// effective is the service table in force, and goal what packets it takes, or is about to.
	effective atomic.Pointer[effective]
	goal      atomic.Pointer[goal]

	// virtual is plan.floating in force.
	virtual atomic.Pointer[map[netip.Addr]bool]

	// suspends are plan.suspends in force.
	suspends atomic.Pointer[map[string][]netip.Addr]

	// mu serialises what changes the service table: operators, checks and reloads. It guards
	// what follows, and is taken before inLineMu.
	mu     sync.Mutex
	table  *table.Table
	plan   plan
	config loaded
	marks  *markSource

	inLineMu sync.Mutex // guards inLine and what reconcile uses
	inLine   reconciled
	moved    chan struct{} // holds one: the network or the addresses are not as reconciled

	trouble atomic.Pointer[error] // of the reconciler's last attempt; nil in it if it went well

	state atomic.Value // control.State
	beats beats

	reloading sync.Mutex // held for a whole reload, systemd's part included; taken before mu
}

// Run runs a director until ctx is cancelled, then takes away all it added and returns
// nil. An error means that it did not come up, or had to give up; nothing is left then
// either.
func Run(ctx context.Context, o Options) (err error) {
	d := &director{opts: o, log: o.Log, started: time.Now(), memory: readMemory(os.DirFS("/")), moved: make(chan struct{}, 1), links: newLinkNames(), own: newOwnConnections(), answers: make(chan struct{}, 1), marks: &markSource{}}
	d.state.Store(control.StateStarting)
	d.table = table.New()
	d.effective.Store(effectiveOf(nil, nil))
	d.goal.Store(&goal{})
	d.suspends.Store(new(map[string][]netip.Addr))
	d.virtual.Store(new(map[netip.Addr]bool))
	var undo undoList
	defer func() { err = errors.Join(err, undo.run()) }()

	listener, err := d.claim(&undo)
	if err != nil {
		return err
	}
	if err := d.open(&undo); err != nil {
		return err
	}
	// The engines run under contexts of their own: they end in the order of undo, not all
	// at once with ctx.
	fail := make(chan error, 8)
	if err := d.forward(&undo, fail); err != nil {
		return err
	}
	if err := d.bringUp(ctx, &undo, fail); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while starting
		}
		return err
	}
	d.warnOfAbsentVIPs()
	d.state.Store(control.StateRunning)
	if d.plan.whole.initial {
		d.herald.tellTurns(greetings(d.effective.Load().services))
	}
	undo.add(func() error { d.state.Store(control.StateStopping); return nil })
	d.serve(listener, &undo, fail)
	d.watchParts(&undo, fail)
	d.log.Info("uvs is ready", "version", o.Version, "services", len(d.effective.Load().services), "workers", len(d.engine.Workers()), "steering", string(d.steer.Backend()))
	d.tellSystemd(d.opts.Systemd.Ready(d.statusLine()))
	defer func() { d.tellSystemd(d.opts.Systemd.Stopping()) }()
	select {
	case <-ctx.Done():
		d.log.Info("stopping")
		return nil
	case err := <-fail:
		return err
	}
}

// claim makes this run the only one of its run directory and network namespace.
func (d *director) claim(undo *undoList) (*control.Listener, error) {
	listener, err := control.Listen(d.opts.RunDir)
	if err != nil {
		return nil, err
	}
	undo.add(func() error { return ignoreClosed(listener.Close()) })
	dir := runDir(d.opts.RunDir)
	lock, err := lockNamespace()
	if err != nil {
		return nil, err
	}
	undo.add(lock.Close)
	pid, err := otherKeepalived("/proc")
	if err != nil {
		return nil, err
	}
	if pid != 0 {
		return nil, fmt.Errorf("keepalived (pid %d) runs in this network namespace and would fight for the same addresses; stop it first", pid)
	}
	d.crashed = dir.crashed()
	if err := dir.writePID(os.Getpid()); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	undo.add(func() error {
		if d.crashed && d.state.Load() == control.StateStarting {
			return nil // the crash is still to be dealt with, by a run that comes up
		}
		return dir.removePID()
	})
	return listener, nil
}

// open reads the network and the configuration and opens what does not touch either yet.
func (d *director) open(undo *undoList) error {
	network, err := hostnet.Open()
	if err != nil {
		return err
	}
	undo.add(network.Close)
	d.network = network
	if err := d.load(network.Snapshot()); err != nil {
		return err
	}
	sysctls, err := startSysctls(d.opts.Sysctls)
	if err != nil {
		return err
	}
	if d.actor, err = hostnet.OpenActor(); err != nil {
		return err
	}
	undo.add(d.actor.Close)
	d.holdings = newHoldings(d.log, d.actor, d.links, runDir(d.opts.RunDir))
	if err := d.holdings.recall(); err != nil {
		return err
	}
	d.macs = newVirtualMACs(d.log, d.actor, d.links, runDir(d.opts.RunDir))
	if err := d.macs.recall(); err != nil {
		return err
	}
	d.programs = newPrograms()
	d.programs.configure(d.plan.scripts)
	d.runWhole("startup_script", d.plan.whole.startup, d.plan.whole.startupTimeout)
	undo.add(func() error {
		d.runWhole("shutdown_script", d.plan.whole.shutdown, d.plan.whole.shutdownTimeout)
		return nil
	})
	d.herald = newHerald(d.log, d.programs)
	d.herald.apply(d.plan.herald, nil)
	d.plan.vrrp.spec.StartupDelay = bootDelay(d.plan.vrrp.spec.StartupDelay, d.plan.whole.afterBoot, sinceBoot())
	d.plan.vrrp.spec.HoldPreempt = d.opts.HealthWait > 0 && len(d.plan.checked) > 0
	if d.floating, err = newRedundancy(d, d.plan.vrrp); err != nil {
		return err
	}
	d.fitness = newFitness(d.log, d.programs, d.floating.router.Tell, d.observe)
	d.fitness.apply(d.plan.fitness)
	d.steer, err = steer.Open(steer.Backend(d.opts.Steer))
	if err != nil {
		return err
	}
	undo.add(d.steer.Close)
	d.tellSteering()

	cpus := usableCPUs()
	workers := d.opts.Workers
	if workers <= 0 {
		workers = max(len(cpus), 1)
	}
	// A worker may spend a millisecond in one system call; the control plane needs
	// threads of its own meanwhile.
	runtime.GOMAXPROCS(max(len(cpus), 1) + workers)
	var flows conntrack.Config
	flows.MaxFlows, d.flowsFrom = maxFlows(d.opts.MaxConnections, d.memory)
	d.maxFlows = flows.MaxFlows
	rand.Read(flows.Secret[:]) //nolint:errcheck // never fails (crypto/rand)
	if workers > len(cpus) {
		cpus = nil // more threads than CPUs: leave it to the scheduler
	}
	forward := forwarding.Config{Workers: workers, CPUs: cpus, BusyPoll: d.opts.BusyPoll, Flows: flows, Silence: orphanTime,
		FTPPorts: d.opts.FTPPorts, Steered: true,
		FreePages: func() int { return freePages(os.DirFS("/"), uint64(os.Getpagesize())) }}
	if d.crashed {
		forward.Orphans = orphanTime
	}
	d.engine, err = forwarding.New(forward)
	if err != nil {
		return err
	}
	undo.add(d.engine.Close)
	d.stack = newOwnStack(d.log, d.actor, workers)
	d.capture = newCapture(d.engine, &d.opts, d.memory)
	if err := d.capture.offloads.recall(); err != nil {
		return err
	}
	d.engine.SetSysctls(sysctls)
	if err := d.setTimeouts(d.plan.timeouts.since(timeouts{})); err != nil {
		return err
	}
	vips := newVIPProber(d)
	undo.add(vips.ask.Close)
	probers := &probers{programs: d.programs, vips: vips, identities: make(map[health.Identity]*tls.Config)}
	d.health = health.NewSet(health.Options{OnEvents: d.onHealth, MaxProbes: d.opts.MaxProbes, Prober: probers.prober()})
	return nil
}

// forward starts forwarding: steering, ports, routes, services, in this order.
func (d *director) forward(undo *undoList, fail chan<- error) error {
	// Whatever goes wrong from here on, steering of ours must not stay: without a data
	// plane it would only keep packets from the stack.
	undo.add(d.steer.Remove)
	undo.add(func() error { _, err := d.gate.Remove(); return err })
	undo.add(d.capture.undivert)
	undo.add(func() error { return d.stack.close(d.network.Snapshot()) })
	undo.add(d.capture.restoreOffloads(d.network.Snapshot))
	undo.add(func() error { return d.holdings.remove(d.network.Snapshot()) })
	if d.holdings.bare {
		if err := d.holdings.forget(d.network.Snapshot()); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.holdings.setPlan(d.network.Snapshot(), d.plan.holdings); err != nil {
		return err // an address that an earlier run left
	}
	d.suspends.Store(&d.plan.suspends)
	d.virtual.Store(&d.plan.floating)
	next := d.table.Clone()
	next.Load(d.plan.services)
	next.Extend(d.plan.extras)
	for _, line := range next.Reckon() {
		d.log.Info(line)
	}
	d.marks = &markSource{file: d.plan.marks}
	if err := d.commit(next); err != nil {
		return err
	}
	if d.goal.Load().equal(goal{}) { // nothing to steer moved: routes, and what a crash left
		if err := d.aim(goal{}); err != nil {
			return err
		}
	}
	if unseen := d.steer.Unseen(); d.crashed && len(unseen) > 0 {
		d.log.Warn("the last run ended without cleaning up, and this one has no right to look for what it may have left; "+
			"uvs cleanup, run with all rights, removes it", "steering", fmt.Sprint(unseen))
	}
	undo.start(fail, "forwarding", d.engine.Run)
	return nil
}

// bringUp starts the checks, the reconciler and VRRP.
func (d *director) bringUp(ctx context.Context, undo *undoList, fail chan<- error) error {
	undo.start(fail, "network", func(ctx context.Context) error { return d.network.Run(ctx, d.follow) })
	undo.start(fail, "reconciler", d.keepInLine)
	undo.start(fail, "neighbours", d.keepNeighbours)
	undo.start(fail, "data connections", d.keepData)
	if d.holdings.bare {
		undo.start(fail, "answers", d.answer)
	}
	undo.add(d.macs.remove)
	d.macs.apply(ctx, d.network.Snapshot, d.plan.devices)
	d.macs.prune() // of a crash
	undo.start(fail, "virtual MACs", func(ctx context.Context) error { return d.macs.keep(ctx, d.network.Snapshot) })
	undo.add(func() error { return d.holdings.remove(d.network.Snapshot()) })
	d.holdings.take(d.network.Snapshot(), "")
	undo.start(fail, "addresses", func(ctx context.Context) error {
		return d.holdings.keep(ctx, d.network.Snapshot, d.floating.tellAgain)
	})
	undo.start(fail, "programs", d.programs.runner.Run)
	undo.start(fail, "notifications", d.herald.run)
	undo.start(fail, "VRRP", d.floating.run)
	undo.start(fail, "tracking", d.fitness.run)
	d.floating.start(ctx)
	undo.add(func() error { d.floating.stop(); return nil })
	d.health.Limit(d.plan.limits)
	d.health.Apply(d.plan.checks())
	undo.start(fail, "health", d.health.Run)
	undo.add(func() error {
		d.herald.tellTurns(farewells(d.effective.Load().services, d.plan.herald.services))
		return nil
	})
	if d.plan.vrrp.spec.HoldPreempt {
		d.floating.releaseAfter(d.health.FirstVerdicts(), d.opts.HealthWait)
	}
	undo.start(fail, "preflight", d.watchHost)
	undo.start(fail, "own connections", d.watchOwn)
	if d.opts.Reload != nil {
		undo.start(fail, "reload", d.reloadOnSignal)
	}
	return ctx.Err()
}

// follow lets all know that the network is another.
func (d *director) follow(*hostnet.Snapshot) {
	d.floating.follow()
	d.macs.look()
	d.look()
}

// absentVIPs are notes about services whose address this machine does not have: nothing
// sends packets for them here, and those that are routed through are not taken.
func (d *director) absentVIPs() []string {
	s := d.network.Snapshot()
	planned := s.WithAddresses(d.holdings.plannedOn(s)...)
	vips := d.goal.Load().vips()
	here := localOnes(planned, vips)
	var notes []string
	for _, vip := range vips {
		if slices.Contains(here, vip) {
			continue
		}
		add := ", or add it to an interface"
		if d.holdings.bare {
			add = ""
		}
		notes = append(notes, fmt.Sprintf("no interface of this machine has the virtual address %s, so its services get no packets; "+
			"name it in the virtual_ipaddress of a vrrp_instance%s", vip, add))
	}
	return notes
}

func (d *director) warnOfAbsentVIPs() {
	for _, note := range d.absentVIPs() {
		d.log.Warn(note)
	}
}

func (d *director) serve(l *control.Listener, undo *undoList, fail chan<- error) {
	undo.start(fail, "control", func(ctx context.Context) error { return control.Serve(ctx, l, d) })
}

// An undoList takes back what a start did, the last step first.
type undoList struct{ steps []func() error }

func (u *undoList) add(step func() error) { u.steps = append(u.steps, step) }

// start runs f in a goroutine; undoing it is to cancel f and to wait for it. An error
// that ends f early goes to fail.
func (u *undoList) start(fail chan<- error, name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			fail <- fmt.Errorf("%s: %w", name, err)
		}
	})
	u.add(func() error { cancel(); wg.Wait(); return nil })
}

func (u *undoList) run() error {
	var errs []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		errs = append(errs, u.steps[i]())
	}
	u.steps = nil
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
