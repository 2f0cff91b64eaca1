package forwarding

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"uvs/forwarding/sched"
	"uvs/internal/wire"
)

// Errors of a Tx. The texts are those that ipvsadm users know.
var (
	ErrServiceExists = errors.New("Service already exists")        //nolint:staticcheck // ipvsadm's own words
	ErrNoService     = errors.New("No such service")               //nolint:staticcheck // ipvsadm's own words
	ErrServerExists  = errors.New("Destination already exists")    //nolint:staticcheck // ipvsadm's own words
	ErrNoServer      = errors.New("No such destination")           //nolint:staticcheck // ipvsadm's own words
	ErrNoScheduler   = errors.New("Scheduler not found")           //nolint:staticcheck // ipvsadm's own words
	ErrRange         = errors.New("Numerical result out of range") //nolint:staticcheck // the C library's word for ERANGE, as ipvsadm prints it
	ErrInvalid       = errors.New("invalid service or server")     // a value out of range; the wrapping error names it
	ErrTooMany       = errors.New("too many real servers")         // more than the server id space holds
)

// MaxWeight is the largest weight that IPVS takes (ip_vs_add_dest checks the sign only;
// ipvsadm itself stops at 65535).
const MaxWeight = math.MaxInt32

// A Tx collects changes to the services. It is valid only inside the function given to
// Engine.Update, for one goroutine. After an error of any method the Tx may still be used,
// but most callers return that error and so discard everything.
type Tx struct {
	engine *Engine
	drafts map[ServiceKey]*draft // services that the Tx has touched; nil: deleted
}

// A draft is a service as it will be after the commit.
type draft struct {
	service *service
	spec    ServiceSpec
	servers []draftServer // newest first
	changed bool
}

type draftServer struct {
	dest *dest
	spec ServerSpec
}

// Update calls change with a Tx and commits all that was done to it, or nothing if change
// returns an error, which Update then returns. Calls are serialised; packets are forwarded
// meanwhile. Safe for use by many goroutines.
func (e *Engine) Update(change func(*Tx) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	tx := &Tx{engine: e, drafts: make(map[ServiceKey]*draft)}
	if err := change(tx); err != nil {
		return err
	}
	if len(tx.drafts) == 0 {
		return nil
	}
	return e.commit(tx)
}

// service returns the draft of a service, nil if there is no such service.
func (tx *Tx) service(k ServiceKey) *draft {
	if d, touched := tx.drafts[k]; touched {
		return d
	}
	s := tx.engine.services[k]
	if s == nil {
		return nil
	}
	d := &draft{service: s, spec: s.spec, servers: make([]draftServer, len(s.servers))}
	for i, x := range s.servers {
		d.servers[i] = draftServer{x, x.spec()}
	}
	tx.drafts[k] = d
	return d
}

// AddService adds a service without servers. It returns ErrServiceExists, ErrNoScheduler or
// an error that wraps ErrInvalid.
func (tx *Tx) AddService(k ServiceKey, spec ServiceSpec) error {
	if err := checkService(k, spec); err != nil {
		return err
	}
	if tx.service(k) != nil {
		return ErrServiceExists
	}
	tx.drafts[k] = &draft{service: &service{key: k, port: k.Port}, spec: spec, changed: true}
	return nil
}

// EditService replaces a service's settings; its servers, flows and counters stay. It
// returns ErrNoService, ErrNoScheduler or an error that wraps ErrInvalid.
func (tx *Tx) EditService(k ServiceKey, spec ServiceSpec) error {
	if err := checkService(k, spec); err != nil {
		return err
	}
	d := tx.service(k)
	if d == nil {
		return ErrNoService
	}
	d.spec, d.changed = spec, true
	return nil
}

// DeleteService removes a service and its servers, or returns ErrNoService. Packets of
// their flows are dropped from then on.
func (tx *Tx) DeleteService(k ServiceKey) error {
	if tx.service(k) == nil {
		return ErrNoService
	}
	tx.drafts[k] = nil
	return nil
}

// AddServer adds a real server at the head of the service's list, as IPVS does. A server
// that was removed a short time ago comes back with its flows and counters. It returns
// ErrNoService, ErrServerExists or an error that wraps ErrInvalid or ErrRange.
func (tx *Tx) AddServer(k ServiceKey, server netip.AddrPort, spec ServerSpec) error {
	d := tx.service(k)
	if d == nil {
		return ErrNoService
	}
	if err := checkServer(k, server, spec); err != nil {
		return err
	}
	if d.find(server) >= 0 {
		return ErrServerExists
	}
	x := &dest{service: k, addr: server, target: wireAddr(server.Addr()), v6: server.Addr().Is6()}
	x.end = sched.End{Addr: foldAddr(&x.target, x.v6), Port: server.Port()}
	d.servers = slices.Insert(d.servers, 0, draftServer{x, spec})
	d.changed = true
	return nil
}

// EditServer replaces a server's settings; its flows, counters and place in the list stay.
// It returns ErrNoService, ErrNoServer or an error that wraps ErrInvalid or ErrRange.
func (tx *Tx) EditServer(k ServiceKey, server netip.AddrPort, spec ServerSpec) error {
	d := tx.service(k)
	if d == nil {
		return ErrNoService
	}
	if err := checkServer(k, server, spec); err != nil {
		return err
	}
	i := d.find(server)
	if i < 0 {
		return ErrNoServer
	}
	d.servers[i].spec, d.changed = spec, true
	return nil
}

// DeleteServer removes a server, or returns ErrNoService or ErrNoServer. Packets of its
// flows are dropped until it is added again.
func (tx *Tx) DeleteServer(k ServiceKey, server netip.AddrPort) error {
	d := tx.service(k)
	if d == nil {
		return ErrNoService
	}
	i := d.find(server)
	if i < 0 {
		return ErrNoServer
	}
	d.servers = slices.Delete(d.servers, i, i+1)
	d.changed = true
	return nil
}

func (d *draft) find(server netip.AddrPort) int {
	return slices.IndexFunc(d.servers, func(s draftServer) bool { return s.dest.addr == server })
}

func checkService(k ServiceKey, spec ServiceSpec) error {
	if !k.Addr.IsValid() || k.Addr.Is4In6() || k.Addr.Zone() != "" || k.Addr.IsMulticast() || k.Addr.IsUnspecified() {
		return fmt.Errorf("%w: %s is not a unicast address", ErrInvalid, k.Addr)
	}
	if k.Protocol != wire.ProtoTCP && k.Protocol != wire.ProtoUDP {
		return fmt.Errorf("%w: protocol %d is neither TCP nor UDP", ErrInvalid, k.Protocol)
	}
	if _, ok := sched.New(spec.Scheduler, 0); !ok {
		return ErrNoScheduler
	}
	switch p := spec.Persistence; {
	case p != 0 && (p < time.Second || p > maxPersistence):
		return fmt.Errorf("%w: persistence %s is not from 1 s to %s", ErrInvalid, p, maxPersistence)
	case p == 0 && k.Port == 0:
		return fmt.Errorf("%w: a service of all ports needs persistence", ErrInvalid)
	}
	return nil
}

func checkServer(k ServiceKey, server netip.AddrPort, spec ServerSpec) error {
	a := server.Addr()
	switch {
	case !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsMulticast() || a.IsUnspecified():
		return fmt.Errorf("%w: %s is not a unicast address", ErrInvalid, a)
	case a.Is6() != k.Addr.Is6():
		return fmt.Errorf("%w: server %s and service %s differ in address family", ErrInvalid, a, k)
	case spec.Method != Masq && spec.Method != Route:
		return fmt.Errorf("%w: forwarding method %s is not served", ErrInvalid, spec.Method)
	case spec.Method == Route && server.Port() != k.Port:
		return fmt.Errorf("%w: direct routing cannot map port %d to %d", ErrInvalid, k.Port, server.Port())
	case spec.Weight < 0 || spec.Weight > MaxWeight:
		return fmt.Errorf("%w: weight %d is not from 0 to %d", ErrInvalid, spec.Weight, MaxWeight)
	case spec.LowerThreshold > spec.UpperThreshold:
		return fmt.Errorf("%w: lower threshold %d is above the upper one, %d", ErrRange, spec.LowerThreshold, spec.UpperThreshold)
	}
	return nil
}

// commit makes the drafts the engine's services. Everything that can fail comes first.
func (e *Engine) commit(tx *Tx) error {
	if err := e.adoptServers(tx); err != nil {
		return err
	}
	// A service that was deleted and added again is another one, whose drafts may have
	// taken over servers of the old one: what no draft has goes, the rest never stops.
	keep := make(map[*dest]bool)
	for _, d := range tx.drafts {
		if d == nil {
			continue
		}
		for _, x := range d.servers {
			keep[x.dest] = true
		}
	}
	for k, d := range tx.drafts {
		old := e.services[k]
		if old != nil {
			e.trashServers(old, keep)
			if d == nil || d.service != old {
				e.past.add(old.raw())
				old.servers = nil
			}
		}
		switch {
		case d == nil:
			delete(e.services, k)
		case d.changed:
			e.applyDraft(d)
			e.services[k] = d.service
		}
	}
	e.publish(tx)
	return nil
}

// adoptServers gives every new server of the drafts its identity: the one it had when it
// was removed a short time ago, else a fresh one.
func (e *Engine) adoptServers(tx *Tx) error {
	var fresh []*dest
	for _, d := range tx.drafts {
		if d == nil {
			continue
		}
		for i := range d.servers {
			s := &d.servers[i]
			if s.dest.id.Gen != 0 {
				continue
			}
			if old := e.trash[trashKey{s.dest.service, s.dest.addr}]; old != nil {
				s.dest = old
				continue
			}
			// A server deleted and added again within one Tx is the same server.
			if old := e.find(s.dest.service, s.dest.addr); old != nil {
				s.dest = old
				continue
			}
			if !e.dests.add(s.dest) {
				for _, x := range fresh {
					e.dests.remove(x)
				}
				return ErrTooMany
			}
			s.dest.counters = make([]destCounters, e.workers)
			fresh = append(fresh, s.dest)
		}
	}
	return nil
}

func (e *Engine) find(k ServiceKey, server netip.AddrPort) *dest {
	if s := e.services[k]; s != nil {
		for _, d := range s.servers {
			if d.addr == server {
				return d
			}
		}
	}
	return nil
}

func (e *Engine) applyDraft(d *draft) {
	s := d.service
	if s.number == 0 {
		e.added++
		s.number = e.added
	}
	list := make([]*dest, len(d.servers))
	for i, x := range d.servers {
		list[i] = x.dest
		fresh := x.dest.owner != s || x.dest.removed.Load()
		delete(e.trash, trashKey{s.key, x.dest.addr})
		x.dest.join(s)
		x.dest.configure(x.spec, fresh)
	}
	s.spec, s.servers = d.spec, list
	s.reschedule()
}

// join makes d a server of s. Whoever comes from a service that was deleted keeps its
// flows; its counters begin anew (__ip_vs_update_dest zeroes a server whose service is
// another one).
func (d *dest) join(s *service) {
	if d.owner == s {
		return
	}
	raw := d.totals()
	d.owner, d.entered = s, raw
	d.meter.zero(raw)
}

// trashServers puts the servers of s that are not kept aside: their flows still name them.
func (e *Engine) trashServers(s *service, keep map[*dest]bool) {
	for _, x := range s.servers {
		if keep[x] {
			continue
		}
		x.removed.Store(true)
		x.trashed = e.uptime()
		raw := x.totals()
		s.past.add(raw.minus(x.entered))
		x.entered = raw
		e.trash[trashKey{s.key, x.addr}] = x
	}
}

// publish makes the committed services visible to workers.
func (e *Engine) publish(tx *Tx) {
	t := &table{services: make(map[wireKey]*service, len(e.services))}
	for k, s := range e.services {
		t.services[newWireKey(k.Addr, k.Port, k.Protocol)] = s
	}
	routes := e.routes.Load()
	for _, d := range tx.drafts {
		if d == nil {
			continue
		}
		for _, x := range d.service.servers {
			x.resolve(routes)
		}
	}
	e.table.Store(t)
}

// reap forgets removed servers that no flow names and whose grace is over
// (IP_VS_DEST_TRASH_PERIOD).
func (e *Engine) reap() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, d := range e.trash {
		if !d.idle() {
			d.trashed = e.uptime()
			continue
		}
		if e.uptime()-d.trashed < trashPeriod {
			continue
		}
		delete(e.trash, k)
		e.dests.remove(d)
	}
}

// Services returns the committed services in the order of their adding.
func (e *Engine) Services() []ServiceInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := slices.SortedFunc(maps.Values(e.services), func(a, b *service) int { return cmp.Compare(a.number, b.number) })
	out := make([]ServiceInfo, len(list))
	for i, s := range list {
		out[i] = ServiceInfo{Key: s.key, Spec: s.spec, Total: s.meter.shown(s.raw()), Rates: s.meter.rates()}
		for _, d := range s.servers {
			out[i].Servers = append(out[i].Servers, d.info())
		}
	}
	return out
}
