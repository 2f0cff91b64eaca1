package forwarding

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"uvs/conntrack"
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
	drafts map[ServiceKey]*draft // of services that were touched
	fresh  []*draft              // of services to add, in that order; some may be deleted again
	doomed []*service            // committed services to delete
	// What becomes of the connections of servers, where that is not IPVS's to say.
	retired map[trashKey]Removal
}

// A draft is a service as it will be after the commit.
type draft struct {
	service *service // nil: there is no service of that key
	spec    ServiceSpec
	pool    *conntrack.Pool // what spec.Pool says
	servers []draftServer   // newest first
	// What the scheduler must be told: its servers, their settings, its flags.
	changed bool
}

type draftServer struct {
	dest  *dest
	spec  ServerSpec
	added bool // by this Tx
}

// Update calls change with a Tx and commits all that was done to it, or nothing if change
// returns an error, which Update then returns. Calls are serialised; packets are forwarded
// meanwhile. It costs what the services cost that are touched, and for one that is added
// or deleted a copy of the list of all. Safe for use by many goroutines.
func (e *Engine) Update(change func(*Tx) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	tx := &Tx{engine: e, drafts: make(map[ServiceKey]*draft), retired: make(map[trashKey]Removal)}
	if err := change(tx); err != nil {
		return err
	}
	return e.commit(tx)
}

// draft returns the draft of a service, nil if there is none of that key.
func (tx *Tx) draft(k ServiceKey) *draft {
	if d := tx.drafts[k]; d != nil {
		if d.service == nil {
			return nil
		}
		return d
	}
	s := tx.engine.services[k]
	if s == nil {
		return nil
	}
	d := &draft{service: s, spec: s.spec, pool: s.pool.Load(), servers: make([]draftServer, len(s.servers))}
	for i, x := range s.servers {
		d.servers[i] = draftServer{dest: x, spec: x.spec()}
	}
	tx.drafts[k] = d
	return d
}

// AddService adds a service without servers. It returns ErrServiceExists, ErrNoScheduler,
// an error that wraps ErrInvalid, or one that there is no memory for a pool.
func (tx *Tx) AddService(k ServiceKey, spec ServiceSpec) error {
	if err := checkService(k, spec); err != nil {
		return err
	}
	if tx.draft(k) != nil {
		return ErrServiceExists
	}
	pool, err := tx.engine.newPool(&spec.Pool)
	if err != nil {
		return err
	}
	d := &draft{service: &service{key: k, port: k.Port}, spec: spec, pool: pool, changed: true}
	tx.drafts[k], tx.fresh = d, append(tx.fresh, d)
	return nil
}

// EditService replaces a service's settings; its servers, flows and counters stay. It
// returns ErrNoService, ErrNoScheduler or an error that wraps ErrInvalid.
func (tx *Tx) EditService(k ServiceKey, spec ServiceSpec) error {
	if err := checkService(k, spec); err != nil {
		return err
	}
	d := tx.draft(k)
	if d == nil {
		return ErrNoService
	}
	if d.spec.Pool != spec.Pool {
		pool, err := tx.engine.newPool(&spec.Pool)
		if err != nil {
			return err
		}
		d.pool = pool
	}
	if d.spec.Scheduler != spec.Scheduler || d.spec.Flags != spec.Flags {
		d.changed = true
	}
	d.spec = spec
	return nil
}

// DeleteService removes a service and its servers, or returns ErrNoService. Packets of
// their flows are dropped from then on, unless Retire says otherwise.
func (tx *Tx) DeleteService(k ServiceKey) error {
	if tx.draft(k) == nil {
		return ErrNoService
	}
	if s := tx.engine.services[k]; s == tx.drafts[k].service {
		tx.doomed = append(tx.doomed, s)
	}
	tx.drafts[k] = &draft{}
	return nil
}

// AddServer adds a real server at the head of the service's list, as IPVS does. A server
// that was removed a short time ago comes back with its flows and counters. It returns
// ErrNoService, ErrServerExists or an error that wraps ErrInvalid or ErrRange.
func (tx *Tx) AddServer(k ServiceKey, server netip.AddrPort, spec ServerSpec) error {
	d := tx.draft(k)
	if d == nil {
		return ErrNoService
	}
	if err := checkServer(k, server, spec); err != nil {
		return err
	}
	if d.find(server) >= 0 {
		return ErrServerExists
	}
	x := &dest{addr: server, target: wireAddr(server.Addr()), v6: server.Addr().Is6()}
	x.end = sched.End{Addr: sched.Fold(&x.target), Port: server.Port()}
	d.servers = slices.Insert(d.servers, 0, draftServer{dest: x, spec: spec, added: true})
	d.changed = true
	return nil
}

// EditServer replaces a server's settings; its flows, counters and place in the list stay.
// It returns ErrNoService, ErrNoServer or an error that wraps ErrInvalid or ErrRange.
func (tx *Tx) EditServer(k ServiceKey, server netip.AddrPort, spec ServerSpec) error {
	d := tx.draft(k)
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
// flows are dropped until it is added again, unless Retire says otherwise.
func (tx *Tx) DeleteServer(k ServiceKey, server netip.AddrPort) error {
	d := tx.draft(k)
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
	if k.Mark() != 0 {
		if k != MarkKey(k.Mark(), k.Addr.Is6()) {
			return fmt.Errorf("%w: %+v is more than a mark", ErrInvalid, k)
		}
		return checkSpec(k, spec)
	}
	if !k.Addr.IsValid() || k.Addr.Is4In6() || k.Addr.Zone() != "" || k.Addr.IsMulticast() || k.Addr.IsUnspecified() {
		return fmt.Errorf("%w: %s is not a unicast address", ErrInvalid, k.Addr)
	}
	if !hasPorts(k.Protocol) {
		return fmt.Errorf("%w: protocol %d is neither TCP, UDP nor SCTP", ErrInvalid, k.Protocol)
	}
	return checkSpec(k, spec)
}

// checkSpec refuses settings that a service cannot have.
func checkSpec(k ServiceKey, spec ServiceSpec) error {
	if !sched.Has(spec.Scheduler) {
		return ErrNoScheduler
	}
	const flags = sched.Fallback | sched.Port | sched.Third
	switch p := spec.Persistence; {
	case spec.Flags&^flags != 0:
		return fmt.Errorf("%w: scheduler flags %#x are not among %#x", ErrInvalid, uint16(spec.Flags), uint16(flags))
	case p != 0 && (p < time.Second || p > maxPersistence):
		return fmt.Errorf("%w: persistence %s is not from 1 s to %s", ErrInvalid, p, maxPersistence)
	case p == 0 && k.Port == 0 && k.Mark() == 0:
		return fmt.Errorf("%w: a service of all ports needs persistence", ErrInvalid)
	}
	if err := spec.Pool.check(k); err != nil {
		return err
	}
	return checkNetmask(k, &spec.Netmask)
}

// checkNetmask refuses what is no mask of the service's family.
func checkNetmask(k ServiceKey, mask *[16]byte) error {
	if k.Addr.Is4() {
		if [12]byte(mask[4:]) != [12]byte{} {
			return fmt.Errorf("%w: a netmask of more than 4 bytes for an IPv4 service", ErrInvalid)
		}
		return nil
	}
	high, low := binary.BigEndian.Uint64(mask[:8]), binary.BigEndian.Uint64(mask[8:])
	prefix := bits.LeadingZeros64(^high)
	if prefix == 64 {
		prefix += bits.LeadingZeros64(^low)
	}
	if bits.OnesCount64(high)+bits.OnesCount64(low) != prefix {
		return fmt.Errorf("%w: netmask %x of an IPv6 service is no prefix", ErrInvalid, *mask)
	}
	return nil
}

func checkServer(k ServiceKey, server netip.AddrPort, spec ServerSpec) error {
	a := server.Addr()
	switch {
	case !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsMulticast() || a.IsUnspecified():
		return fmt.Errorf("%w: %s is not a unicast address", ErrInvalid, a)
	case a.Is6() != k.Addr.Is6() && spec.Method != Tunnel:
		return fmt.Errorf("%w: server %s and service %s differ in address family, which only tunnels bridge", ErrInvalid, a, k)
	case spec.Method != Masq && spec.Method != Route && spec.Method != Tunnel:
		return fmt.Errorf("%w: forwarding method %s is not served", ErrInvalid, spec.Method)
	case spec.Method == Route && server.Port() != k.Port && k.Mark() == 0:
		return fmt.Errorf("%w: direct routing cannot map port %d to %d", ErrInvalid, k.Port, server.Port())
	case spec.Method != Tunnel && spec.Tunnel != TunnelSpec{}:
		return fmt.Errorf("%w: forwarding method %s has no tunnel", ErrInvalid, spec.Method)
	case spec.Tunnel.Type > GRE || spec.Tunnel.Checksum > RemoteChecksum:
		return fmt.Errorf("%w: tunnel type %d with checksum %d is not known", ErrInvalid, spec.Tunnel.Type, spec.Tunnel.Checksum)
	case (spec.Tunnel.Type == GUE) != (spec.Tunnel.Port != 0):
		return fmt.Errorf("%w: a tunnel of type %d with port %d: a GUE tunnel has a port, others have none", ErrInvalid, spec.Tunnel.Type, spec.Tunnel.Port)
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
	for _, s := range tx.doomed {
		// A service that was deleted and added again is another one, whose draft may have taken
		// over servers of the old one: what no draft has goes, the rest never stops.
		e.trashServers(s, tx.drafts[s.key], tx.retired)
		e.past.add(s.raw())
		s.servers = nil
		delete(e.services, s.key)
		e.leaving[s.key] = s
	}
	if len(tx.doomed) > 0 {
		e.order = slices.DeleteFunc(e.order, func(s *service) bool { return e.services[s.key] != s })
	}
	for _, d := range tx.drafts {
		if d.service != nil {
			e.applyDraft(d, tx.retired)
		}
	}
	for _, d := range tx.fresh {
		if tx.drafts[d.service.key] == d {
			e.services[d.service.key] = d.service
			e.order = append(e.order, d.service)
			delete(e.leaving, d.service.key)
		}
	}
	for _, s := range tx.doomed {
		if e.leaving[s.key] == s {
			s.reschedule(e.schedulerEnv()) // without a server to pick
			if !e.staysFor(s.key) {
				delete(e.leaving, s.key)
			}
		}
	}
	if len(tx.doomed)+len(tx.fresh) > 0 {
		e.publish()
	}
	return nil
}

// adoptServers gives every new server of the drafts its identity: the one it had when it
// was removed a short time ago (ip_vs_trash_get_dest, which looks by the key of the
// service, not by its identity), else a fresh one.
func (e *Engine) adoptServers(tx *Tx) error {
	var fresh []*dest
	for k, d := range tx.drafts {
		for i := range d.servers {
			s := &d.servers[i]
			if s.dest.id.Gen != 0 {
				continue
			}
			if old := e.trash[trashKey{k, s.dest.addr}]; old != nil {
				s.dest = old
				continue
			}
			// A server deleted and added again within one Tx is the same server.
			if old := e.find(k, s.dest.addr); old != nil {
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

// applyDraft makes a service what its draft says.
func (e *Engine) applyDraft(d *draft, retired map[trashKey]Removal) {
	s := d.service
	s.configure(d.spec)
	s.pool.Store(d.pool)
	if !d.changed {
		s.spread()
		return
	}
	e.trashServers(s, d, retired)
	list := make([]*dest, len(d.servers))
	for i, x := range d.servers {
		list[i] = x.dest
		if x.added {
			delete(e.trash, trashKey{s.key, x.dest.addr})
			x.dest.join(s)
		}
		x.dest.configure(x.spec, x.added)
		x.dest.resolve(e.routes.Load(), e.hops)
	}
	s.servers = list
	s.spread()
	s.notePeers()
	s.reschedule(e.schedulerEnv())
}

// join makes d a server of s. Whoever comes from a service that was deleted keeps its
// flows; its counters begin anew (__ip_vs_update_dest zeroes a server whose service is
// another one).
func (d *dest) join(s *service) {
	if d.owner.Load() == s {
		return
	}
	raw := d.totals()
	d.entered = raw
	d.owner.Store(s)
	d.meter.zero(raw)
}

// trashServers puts the servers of s that its draft has no more aside: their flows still
// name them.
func (e *Engine) trashServers(s *service, d *draft, retired map[trashKey]Removal) {
	keep := make(map[*dest]bool, len(d.servers))
	for _, x := range d.servers {
		keep[x.dest] = true
	}
	for _, x := range s.servers {
		if keep[x] {
			continue
		}
		e.retire(x, retired[trashKey{s.key, x.addr}])
		x.removed.Store(true)
		x.watched.Store(uint32(sched.WatchNothing))
		x.trashed = e.uptime()
		raw := x.totals()
		s.past.add(raw.minus(x.entered))
		x.entered = raw
		e.trash[trashKey{s.key, x.addr}] = x
		e.abandon()
	}
}

// publish makes it visible to workers which services there are, those that leave included.
func (e *Engine) publish() {
	list := slices.Clone(e.order)
	for k, s := range e.leaving {
		if e.services[k] == nil {
			list = append(list, s)
		}
	}
	t := &table{services: newDirectory(list), hosts: make(hosts)}
	for _, s := range list {
		if s.key.Protocol == 0 {
			t.marked = true
		} else {
			t.ftp = t.ftp || s.key.Port == ftpPort && s.key.Protocol == wire.ProtoTCP
			t.hosts.add(s.key.Addr)
		}
	}
	e.table.Store(t)
}

// reap moves removed servers on, and forgets those that no flow or template names and whose grace is over
// (ip_vs_dest_trash_expire). uptime is now on the Engine's clock.
func (e *Engine) reap(uptime time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.part(uptime)
	for k, d := range e.trash {
		if !d.idle() {
			d.trashed = uptime
			continue
		}
		if uptime-d.trashed < trashPeriod {
			continue
		}
		delete(e.trash, k)
		e.dests.remove(d)
	}
}

// Lingering returns the NAT servers that were removed and that flows still name, once for
// each service that they were in: their answers are still translated (ip_vs_out does not ask
// for the server), so the host's own stack must not get them. Safe for use by many
// goroutines.
func (e *Engine) Lingering() []ServiceKey {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []ServiceKey
	for k, d := range e.trash {
		if Method(d.method.Load()) == Masq && d.connections() > 0 {
			list = append(list, serverEnds(k.server, k.service.Protocol)...)
		}
	}
	return list
}

// serverEnds lists the ends that come from a server: of a mark's every port of each protocol.
func serverEnds(server netip.AddrPort, protocol uint8) []ServiceKey {
	if protocol != 0 {
		return []ServiceKey{{server.Addr(), server.Port(), protocol}}
	}
	return []ServiceKey{{server.Addr(), 0, wire.ProtoTCP}, {server.Addr(), 0, wire.ProtoUDP}, {server.Addr(), 0, wire.ProtoSCTP}}
}

// Services returns the committed services in the order in which they were added. Safe for
// use by many goroutines.
func (e *Engine) Services() []ServiceInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]ServiceInfo, 0, len(e.order))
	for _, s := range e.order {
		info := ServiceInfo{Key: s.key, Spec: s.spec, Total: s.meter.shown(s.raw()), Rates: s.meter.rates()}
		info.Servers = make([]ServerInfo, 0, len(s.servers))
		for _, d := range s.servers {
			info.Servers = append(info.Servers, d.info())
		}
		out = append(out, info)
	}
	return out
}
