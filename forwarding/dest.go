package forwarding

import (
	"net/netip"
	"sync/atomic"
	"time"

	"uvs/conntrack"
	"uvs/forwarding/sched"
)

// A dest is the identity of a real server within a service. It outlives snapshots, and its
// removal by conntrack.ServerID's grace.
type dest struct {
	// What packets need, on two lines of memory that lie beside each other: with thousands of servers
	// each line that is not in the cache costs as much as a tenth of the rest of the work. The
	// first is for packets of flows and for the choice of a server.
	id         conntrack.ServerID
	hop        atomic.Pointer[NextHop] // where packets for it go; nil: no route
	counters   []destCounters          // by worker
	removed    atomic.Bool
	local      atomic.Bool   // its address is this host's own: they go into its stack
	uplink     atomic.Bool   // ServiceSpec.ReplyByUplink of its service
	method     atomic.Uint32 // Method
	weight     atomic.Int32
	overloaded atomic.Bool // IP_VS_DEST_F_OVERLOAD

	// The second is for flows that begin, change and end.
	active       atomic.Int32          // flows in an active state (ip_vs_dest.activeconns)
	inactive     atomic.Int32          // all other flows
	notes        atomic.Pointer[notes] // where changes of what a scheduler watches are noted; nil before the first service
	place        atomic.Uint32         // its index there
	watched      atomic.Uint32         // sched.Watch: which changes are noted
	upper, lower atomic.Uint32         // thresholds
	persistent   atomic.Int32          // templates (ip_vs_dest.persistconns)
	end          sched.End             // addr as schedulers have it
	target       [16]byte              // addr as packets have it
	v6           bool

	addr       netip.AddrPort
	owner      atomic.Pointer[service] // whose server it is or was; nil until it is committed
	lastWeight atomic.Int32            // the latest weight that was not 0
	fate       atomic.Uint32           // Fate, once it was removed
	tunnel     atomic.Pointer[tunnel]  // how packets with method Tunnel go there; nil: no way
	path       pathMTU                 // of the tunnel's way

	// Engine.mu guards what follows.
	trashed time.Duration // when it was removed, on the Engine's clock
	until   time.Duration // when what is left of its connections is reset, on that clock; 0: never
	probes  int           // how often their ends are still to be asked
	entered Totals        // counted before it was in its owner's list
	meter   meter

	tunnelled *TunnelSpec // the latest one; nil: it never had method Tunnel
}

// Weight implements sched.Server.
func (d *dest) Weight() int { return int(d.weight.Load()) }

// LastWeight implements sched.Server.
func (d *dest) LastWeight() int { return int(d.lastWeight.Load()) }

// Active implements sched.Server.
func (d *dest) Active() int { return int(d.active.Load()) }

// Inactive implements sched.Server.
func (d *dest) Inactive() int { return int(d.inactive.Load()) }

// Overloaded implements sched.Server. A server that is this host itself, while nothing leads
// into the host's stack, takes part in nothing.
func (d *dest) Overloaded() bool { return d.overloaded.Load() || d.outOfReach() }

// outOfReach reports whether the server is this host itself and nothing leads into its stack.
func (d *dest) outOfReach() bool { return d.local.Load() && d.hop.Load() == nil }

// End implements sched.Server.
func (d *dest) End() sched.End { return d.end }

// bound counts a new flow (ip_vs_bind_dest).
func (d *dest) bound() {
	d.inactive.Add(1)
	d.loaded()
	d.note(sched.WatchCounts)
}

// loaded sets the overload flag when the upper threshold is reached.
func (d *dest) loaded() {
	if upper := d.upper.Load(); upper != 0 && d.connections() >= uint64(upper) {
		d.overload(true)
	}
}

// unloaded clears it when there are few enough connections (ip_vs_unbind_dest).
func (d *dest) unloaded() {
	if !d.overloaded.Load() {
		return
	}
	upper, lower := uint64(d.upper.Load()), uint64(d.lower.Load())
	n := d.connections()
	if lower != 0 && n >= lower || lower == 0 && upper != 0 && n*4 >= upper*3 {
		return
	}
	d.overload(false)
}

// overload sets the overload flag.
func (d *dest) overload(is bool) {
	if d.overloaded.Swap(is) != is {
		d.note(sched.WatchOverload)
	}
}

func (d *dest) connections() uint64 {
	return uint64(max(0, d.active.Load()+d.inactive.Load()))
}

// moved applies what conntrack reports of a flow's state: +1 became active, −1 became inactive.
func (d *dest) moved(change int) {
	if change != 0 {
		d.active.Add(int32(change))
		d.inactive.Add(int32(-change))
		d.note(sched.WatchCounts)
	}
}

// gone uncounts a flow that ended.
func (d *dest) gone(active bool) {
	if active {
		d.active.Add(-1)
	} else {
		d.inactive.Add(-1)
	}
	d.unloaded()
	d.note(sched.WatchCounts)
}

// idle reports whether no flow and no template refers to d.
func (d *dest) idle() bool {
	return d.active.Load()+d.inactive.Load() == 0 && d.persistent.Load() == 0
}

// configure applies a spec; fresh says that the server was not in the table before
// (__ip_vs_update_dest).
func (d *dest) configure(spec ServerSpec, fresh bool) {
	d.method.Store(uint32(spec.Method))
	if fresh || spec.Weight != 0 {
		d.lastWeight.Store(int32(spec.Weight))
	}
	d.weight.Store(int32(spec.Weight))
	if spec.UpperThreshold == 0 || spec.UpperThreshold > d.upper.Load() {
		d.overloaded.Store(false)
	}
	d.upper.Store(spec.UpperThreshold)
	d.lower.Store(spec.LowerThreshold)
	if spec.Method == Tunnel { // stays in force for flows that go on by it if the method changes, as in IPVS
		d.tunnelled = &spec.Tunnel
	}
	d.removed.Store(false)
}

// spec returns what is configured of the server. Engine.mu is held.
func (d *dest) spec() ServerSpec {
	spec := ServerSpec{
		Method: Method(d.method.Load()), Weight: int(d.weight.Load()),
		UpperThreshold: d.upper.Load(), LowerThreshold: d.lower.Load(),
	}
	if spec.Method == Tunnel {
		spec.Tunnel = *d.tunnelled
	}
	return spec
}

// resolve points the server at its next hop, which it shares with others that have the same.
func (d *dest) resolve(r *Routes, shared hopSet) {
	var hop NextHop
	var ok bool
	local := r.local(&d.target, d.v6)
	if local {
		hop, ok = r.intoStack(&d.target, d.v6, Method(d.method.Load()))
	} else {
		hop, ok = r.Lookup(&d.target, d.v6, 0)
	}
	if ok {
		d.hop.Store(shared.one(hop))
	} else {
		d.hop.Store(nil)
	}
	d.local.Store(local)
	d.note(sched.WatchOverload)
	d.resolveTunnel(r)
}

// A hopSet has each next hop of servers once: that of a server of thousands of services is in the
// cache whichever of them a packet is for.
type hopSet map[NextHop]*NextHop

// one returns the one that equals hop. Nobody changes it.
func (s hopSet) one(hop NextHop) *NextHop {
	if known := s[hop]; known != nil {
		return known
	}
	s[hop] = &hop
	return &hop
}

// destCounters are one worker's counts for one server; padded, so that workers never write
// to the same cache line.
type destCounters struct {
	connections, packetsIn, packetsOut, bytesIn, bytesOut atomic.Uint64
	_                                                     [88]byte
}

// count counts a packet of n bytes that worker w forwards, unless d has been removed.
func (d *dest) count(w int, direction conntrack.Dir, n int) {
	if d.removed.Load() {
		return // ip_vs_out_stats: answers are still translated, and not counted
	}
	c := &d.counters[w]
	if direction == conntrack.Original {
		c.packetsIn.Add(1)
		c.bytesIn.Add(uint64(n))
	} else {
		c.packetsOut.Add(1)
		c.bytesOut.Add(uint64(n))
	}
}

// totals sums the workers' counts.
func (d *dest) totals() Totals {
	var t Totals
	for i := range d.counters {
		w := &d.counters[i]
		t.add(Totals{w.connections.Load(), w.packetsIn.Load(), w.packetsOut.Load(), w.bytesIn.Load(), w.bytesOut.Load()})
	}
	return t
}
