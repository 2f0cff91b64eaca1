package forwarding

import (
	"net/netip"
	"sync/atomic"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// Totals count since a service or server was first added, or since the last Zero. In is towards the server, Out towards the
// client; bytes are of IP packets with their headers, as they arrived. A GSO frame counts as
// one packet, as in IPVS.
type Totals struct{ Connections, PacketsIn, PacketsOut, BytesIn, BytesOut uint64 }

func (t *Totals) add(o Totals) {
	t.Connections += o.Connections
	t.PacketsIn += o.PacketsIn
	t.PacketsOut += o.PacketsOut
	t.BytesIn += o.BytesIn
	t.BytesOut += o.BytesOut
}

// minus returns what was counted since o.
func (t Totals) minus(o Totals) Totals {
	return Totals{
		Connections: t.Connections - o.Connections,
		PacketsIn:   t.PacketsIn - o.PacketsIn,
		PacketsOut:  t.PacketsOut - o.PacketsOut,
		BytesIn:     t.BytesIn - o.BytesIn,
		BytesOut:    t.BytesOut - o.BytesOut,
	}
}

// Rates are IPVS's estimates per second (net/netfilter/ipvs/ip_vs_est.c): averages that
// move by a quarter of the difference every 2 s. Bytes are bytes, not bits.
type Rates struct{ Connections, PacketsIn, PacketsOut, BytesIn, BytesOut uint64 }

// ServiceInfo is a copy of a service's state.
type ServiceInfo struct {
	Key     ServiceKey
	Spec    ServiceSpec
	Servers []ServerInfo // in IPVS's list order, newest first
	Total   Totals       // of the servers, removed ones included
	Rates   Rates
}

// ServerInfo is a copy of a real server's state.
type ServerInfo struct {
	Addr             netip.AddrPort
	Spec             ServerSpec
	Active, Inactive int
	Persistent       int  // persistence templates
	Overloaded       bool // its upper threshold was reached; it gets no new flows
	Total            Totals
	Rates            Rates
	// Hop is the way to the server, nil if there is none.
	Hop *NextHop
}

func (d *dest) info() ServerInfo {
	return ServerInfo{
		Addr:     d.addr,
		Spec:     d.spec(),
		Active:   int(d.active.Load()),
		Inactive: int(d.inactive.Load()),

		Persistent: int(d.persistent.Load()),
		Overloaded: d.overloaded.Load(),

		Total: d.meter.shown(d.totals()),
		Rates: d.meter.rates(),
		Hop:   d.hop.Load(),
	}
}

// WorkerInfo is a copy of a worker's state.
type WorkerInfo struct {
	ID      int
	CPU     int               // −1 if it is not pinned
	Reasons map[Reason]uint64 // frames by outcome; Forwarded is among them
	Made    map[Made]uint64   // frames of the worker's own
	Ports   []PortInfo
}

// PortInfo is a copy of a port's state.
type PortInfo struct {
	Link  int
	MAC   wire.MAC
	Stats PortStats
}

// reasonCounters count frames by Reason. One worker writes, once per batch.
type reasonCounters struct {
	batch [reasonCount + 1]uint32 // the worker's own; the last is held frames, which are not settled
	total [reasonCount]atomic.Uint64
}

func (c *reasonCounters) add(r Reason) { c.batch[r]++ }

// addN counts n frames.
func (c *reasonCounters) addN(r Reason, n int) { c.batch[r] += uint32(n) }

// move counts a frame of the batch that is not published yet under another reason.
func (c *reasonCounters) move(from, to Reason) {
	c.batch[from]--
	c.batch[to]++
}

// publish moves the batch's counts to where others may read them.
func (c *reasonCounters) publish() {
	for r := range c.total {
		if n := c.batch[r]; n != 0 {
			c.total[r].Add(uint64(n))
			c.batch[r] = 0
		}
	}
}

// Info returns a copy of the worker's state. Safe for use by many goroutines.
func (w *Worker) Info() WorkerInfo {
	info := WorkerInfo{ID: w.id, CPU: int(w.cpu.Load()), Reasons: make(map[Reason]uint64), Made: make(map[Made]uint64)}
	for m := range madeCount {
		if n := w.made[m].Load(); n != 0 {
			info.Made[m] = n
		}
	}
	for _, r := range Reasons() {
		if n := w.reasons.total[r].Load(); n != 0 {
			info.Reasons[r] = n
		}
	}
	if ports := w.current.Load(); ports != nil {
		for _, p := range *ports {
			link, mac := p.Link()
			info.Ports = append(info.Ports, PortInfo{link, mac, p.Stats()})
		}
	}
	return info
}

// Flows returns the flow table, for listing.
func (e *Engine) Flows() *conntrack.Table { return e.flows }
