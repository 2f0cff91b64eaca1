package forwarding

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"uvs/conntrack"
	"uvs/forwarding/sched"
	"uvs/internal/mono"
)

// trashPeriod is how long a removed server is remembered after its last flow ended
// (IP_VS_DEST_TRASH_PERIOD in include/net/ip_vs.h).
const trashPeriod = 120 * time.Second

// Config is what an Engine is made of.
type Config struct {
	// Workers is the number of workers, at least 1.
	Workers int
	// CPUs pins worker i to CPUs[i]; empty: workers are not pinned.
	CPUs []int
	// BusyPoll is for how long after a frame a worker goes on looking for the next one before
	// it sleeps: a wakeup less on its way, for a core that is busy all that time.
	BusyPoll time.Duration
	// Flows configures the flow table. The Engine sets its Workers and what is called when a flow goes.
	Flows conntrack.Config
	// Orphans is for how long after a crash servers may go on sending on connections whose
	// flows are lost. Until then such segments are dropped, unless their client is seen to
	// speak to the server itself. 0: there was no crash, and they are routed.
	Orphans time.Duration
	// Silence is for how long after the start no TCP resets are sent, unless EndSilence ends it.
	// Connections from before have no flows; a restart is to make them wait, not end.
	Silence time.Duration
	// FTPPorts are the ports of services whose clients' control connections of FTP are read, if
	// they are forwarded by NAT (ip_vs_ftp's module parameter ports).
	FTPPorts []uint16
	// Steered says that somebody follows DataChanges, keeps the host's stack off what DataEnds
	// returns, and calls Steered. Packets that tell of data connections wait for that.
	Steered bool
	// FreePages returns how many pages of memory are free, for the defences against floods that
	// have to do with that; nil: there are always enough. It is called about once per second.
	FreePages func() int
}

// EndSilence has segments of unknown connections reset from now on: another director had
// them, and nobody will know them any more. Safe for use by many goroutines.
func (e *Engine) EndSilence() { e.silent.Store(0) }

// An Engine holds the services, the flows and the workers. Its methods are safe for use by
// many goroutines.
type Engine struct {
	flows    *conntrack.Table
	dests    destSlab
	workers  int
	busyPoll time.Duration
	started  mono.Time
	worker   []*Worker
	wants    chan Want
	orphans  chan struct{} // flows of removed servers are to be ended
	doomed   chan struct{} // flows of removed servers are to be reset
	direct   directClients
	silent   atomic.Int64 // mono.Time until which no resets are sent

	fragments reassembler
	ftpPorts  []uint16
	data      dataEnds
	defender  defender

	table     atomic.Pointer[table]
	routes    atomic.Pointer[Routes]
	answering atomic.Pointer[ends]
	sysctls   atomic.Pointer[Sysctls]
	marks     atomic.Pointer[marker]

	mu       sync.Mutex              // serialises writers; guards what follows
	services map[ServiceKey]*service // the committed services
	order    []*service              // the same in the order of adding
	trash    map[trashKey]*dest      // removed servers that may come back
	leaving  map[ServiceKey]*service // deleted services that still take packets
	hops     hopSet                  // by the current routes
	past     Totals                  // of deleted services
	meter    meter
}

type trashKey struct {
	service ServiceKey
	server  netip.AddrPort
}

// A Want asks the control plane to resolve a neighbour.
type Want struct {
	Link int
	Addr netip.Addr
	// Doubt: the neighbour has a MAC, but its frames come from another one. It is to be
	// asked whether it is still there.
	Doubt bool
}

// wantsCapacity bounds unresolved neighbours waiting for the control plane; more are asked
// for again by later packets.
const wantsCapacity = 256

// New returns an Engine without services, routes or ports. Close it after Run has returned.
func New(c Config) (*Engine, error) {
	e := &Engine{
		workers:  max(c.Workers, 1),
		busyPoll: c.BusyPoll,
		started:  mono.Now(),
		wants:    make(chan Want, wantsCapacity),
		orphans:  make(chan struct{}, 1),
		doomed:   make(chan struct{}, 1),
		services: make(map[ServiceKey]*service),
		trash:    make(map[trashKey]*dest),
		leaving:  make(map[ServiceKey]*service),
		hops:     make(hopSet),
	}
	e.fragments.init()
	e.ftpPorts, e.defender.free = c.FTPPorts, c.FreePages
	e.data.init(c.Steered, e.wakeWorkers)
	e.silent.Store(int64(e.started.Add(c.Silence)))
	if c.Orphans > 0 {
		e.direct.watch(e.started, c.Orphans)
	}
	c.Flows.Workers = e.workers
	c.Flows.Released = e.released
	c.Flows.ReleasedTemplate = e.releasedTemplate
	c.Flows.ReleasedData = e.releasedData
	flows, err := conntrack.New(c.Flows)
	if err != nil {
		return nil, fmt.Errorf("make the flow table: %w", err)
	}
	e.flows = flows
	e.publish()
	e.routes.Store(NewRoutes(Network{}))
	e.answering.Store(newEnds(nil))
	e.SetMarks(nil)
	e.SetSysctls(DefaultSysctls())
	for i := range e.workers {
		cpu := -1
		if i < len(c.CPUs) {
			cpu = c.CPUs[i]
		}
		w, err := newWorker(e, i, cpu)
		if err != nil {
			e.Close()
			return nil, err
		}
		e.worker = append(e.worker, w)
	}
	return e, nil
}

// Close releases the flow table and the workers' descriptors.
func (e *Engine) Close() error {
	for _, w := range e.worker {
		w.close()
	}
	return e.flows.Close()
}

// Workers returns the workers in the order of their numbers.
func (e *Engine) Workers() []*Worker { return e.worker }

// Wants delivers neighbours that packets need and nobody has resolved. A neighbour may be
// asked for more than once.
func (e *Engine) Wants() <-chan Want { return e.wants }

// SetRoutes replaces the picture of the network.
func (e *Engine) SetRoutes(r *Routes) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.routes.Store(r)
	e.hops = make(hopSet)
	e.resolveServers(r)
	e.wakeWorkers()
}

func (e *Engine) wakeWorkers() {
	for _, w := range e.worker {
		w.wake()
	}
}

// SetAnswering says which servers' packets the host's own stack does not get, so that the
// engine has to route those that belong to no flow: all of a configuration's NAT servers,
// whether or not a failing check has taken them out of the table. Port 0 stands for every
// port of a server.
func (e *Engine) SetAnswering(servers []ServiceKey) {
	e.answering.Store(newEnds(servers))
}

// resolveServers points every server at its next hop.
func (e *Engine) resolveServers(r *Routes) {
	for _, s := range e.order {
		for _, d := range s.servers {
			d.resolve(r, e.hops)
		}
		s.notePeers()
	}
	for _, d := range e.trash {
		d.resolve(r, e.hops)
	}
}

// Run runs the workers until ctx is cancelled, then returns nil after all have ended and
// their ports are closed. It returns early with the first worker's error.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, w := range e.worker {
		wg.Go(func() {
			if err := w.run(ctx); err != nil {
				cancel(fmt.Errorf("worker %d: %w", w.id, err))
			}
		})
	}
	wg.Go(func() { e.Housekeep(ctx) })
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// prepareEvery and reapEvery pace what workers must not spend time on.
const (
	prepareEvery = 100 * time.Millisecond // memory for flows to come
	reapEvery    = time.Second            // removed servers whose grace is over
)

// Housekeep does until ctx is cancelled what Run does beside the workers: it forgets removed
// servers, estimates rates and ends the flows that a setting gives up. It is for who drives
// workers by Process and does not call Run.
func (e *Engine) Housekeep(ctx context.Context) {
	prepare, reap, estimate := time.NewTicker(prepareEvery), time.NewTicker(reapEvery), time.NewTicker(estimateEvery)
	collect, defend := time.NewTicker(sched.CollectEvery), time.NewTicker(defendEvery)
	defer prepare.Stop()
	defer reap.Stop()
	defer estimate.Stop()
	defer collect.Stop()
	defer defend.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-prepare.C:
			e.flows.Prepare()
		case <-reap.C:
			e.reap(e.uptime())
		case <-estimate.C:
			e.estimate()
		case <-collect.C:
			e.collect(mono.Now())
		case <-defend.C:
			e.defend(mono.Now())
		case <-e.orphans:
			e.evict()
		case <-e.doomed:
			e.probeDoomed(mono.Now())
		}
	}
}

// collect has the schedulers forget what they should.
func (e *Engine) collect(now mono.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.order {
		s.collect(now)
	}
}

// schedulerEnv returns what schedulers take from outside.
func (e *Engine) schedulerEnv() sched.Env {
	return sched.Env{
		Random:          rand.Uint64N,
		LBLCExpiration:  func() time.Duration { return e.sysctls.Load().LBLCExpiration },
		LBLCRExpiration: func() time.Duration { return e.sysctls.Load().LBLCRExpiration },
	}
}

// abandon has the flows of removed servers ended soon, if expire_nodest_conn says so
// (ip_vs_enqueue_expire_nodest_conns). Packets that come earlier end theirs themselves.
func (e *Engine) abandon() {
	if !e.sysctls.Load().ExpireNodestConn {
		return
	}
	select {
	case e.orphans <- struct{}{}:
	default: // it is to be done already
	}
}

// evict ends the flows and templates of removed servers, but for those that a Removal says otherwise of.
func (e *Engine) evict() {
	e.flows.Evict(func(id conntrack.ServerID) bool {
		d := e.dests.get(id)
		return d != nil && d.removed.Load() && Fate(d.fate.Load()) == AsIPVS
	})
}

// released uncounts a flow; conntrack calls it under a shard lock.
func (e *Engine) released(id conntrack.ServerID, active bool) {
	if d := e.dests.get(id); d != nil {
		d.gone(active)
	}
}

// releasedTemplate uncounts a persistence template; conntrack calls it under a shard lock.
func (e *Engine) releasedTemplate(id conntrack.ServerID) {
	if d := e.dests.get(id); d != nil {
		d.persistent.Add(-1)
		d.unloaded()
	}
}

func (e *Engine) uptime() time.Duration { return mono.Now().Sub(e.started) }

// want asks for a neighbour; a full queue drops the request.
func (e *Engine) want(hop *NextHop, doubt bool) {
	select {
	case e.wants <- Want{hop.Link, hop.Addr, doubt}:
	default:
	}
}

// Server returns the address and service of the server with the given id, as flows have
// it. ok is false if it is unknown (any more).
func (e *Engine) Server(id conntrack.ServerID) (server netip.AddrPort, service ServiceKey, ok bool) {
	if d := e.dests.get(id); d != nil {
		return d.addr, d.owner.Load().key, true
	}
	return netip.AddrPort{}, ServiceKey{}, false
}
