package forwarding

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"uvs/conntrack"
	"uvs/forwarding/sched"
	"uvs/internal/wire"
)

// A Method is how packets reach a real server. Values are IPVS's (IP_VS_CONN_F_MASQ and
// following in include/uapi/linux/ip_vs.h) and stand in the low bits of a flow's flags.
type Method uint8

// Forwarding methods.
const (
	Masq   Method = 0 // NAT: the destination address and port are rewritten
	Local  Method = 1 // not served yet
	Tunnel Method = 2 // not served yet
	Route  Method = 3 // direct routing: only the MAC addresses change
)

// String returns the method as ipvsadm prints it.
func (m Method) String() string {
	switch m {
	case Masq:
		return "Masq"
	case Local:
		return "Local"
	case Tunnel:
		return "Tunnel"
	case Route:
		return "Route"
	}
	return fmt.Sprintf("Method(%d)", uint8(m))
}

// A ServiceKey names a virtual service.
type ServiceKey struct {
	Addr     netip.Addr // unmapped and without a zone
	Port     uint16     // 0: every port of the address
	Protocol uint8      // wire.ProtoTCP or wire.ProtoUDP
}

// String returns the key in keepalived's notation, [192.0.2.10]:tcp:80.
func (k ServiceKey) String() string {
	return fmt.Sprintf("[%s]:%s:%d", k.Addr, protocolName(k.Protocol), k.Port)
}

func protocolName(p uint8) string {
	switch p {
	case wire.ProtoTCP:
		return "tcp"
	case wire.ProtoUDP:
		return "udp"
	}
	return fmt.Sprint(p)
}

// A ServiceSpec is what can be configured of a virtual service.
type ServiceSpec struct {
	Scheduler string      // one of sched.Names
	Flags     sched.Flags // of the scheduler
	// Persistence is how long a client stays with its server after its last new connection:
	// 1 s to 31 days, 0 if connections do not persist. A service of all ports needs it.
	Persistence time.Duration
	// Netmask says which clients persist together: a mask of the address as packets have it,
	// for IPv4 its first four bytes (gaps are allowed), for IPv6 a prefix. The zero value is
	// each client for itself.
	Netmask [16]byte
}

// maxPersistence is the longest persistence that ipvsadm takes.
const maxPersistence = 31 * 24 * time.Hour

// mask returns the netmask of clients.
func (s *ServiceSpec) mask() [16]byte {
	if s.Netmask == ([16]byte{}) {
		return [16]byte(bytes.Repeat([]byte{0xff}, 16))
	}
	return s.Netmask
}

// A ServerSpec is what can be configured of a real server.
type ServerSpec struct {
	Method Method
	Weight int // 0 to MaxWeight; 0 keeps connections and takes no new ones
	// A server with UpperThreshold flows (active and inactive) is overloaded until it has less
	// than LowerThreshold, or than three quarters of UpperThreshold if LowerThreshold is 0. An
	// UpperThreshold of 0 is none. LowerThreshold is not above UpperThreshold.
	UpperThreshold, LowerThreshold uint32
}

// wireKey is a ServiceKey as packets have it.
type wireKey struct {
	addr     [16]byte
	port     uint16
	protocol uint8
	v6       bool
}

func newWireKey(a netip.Addr, port uint16, protocol uint8) wireKey {
	k := wireKey{port: port, protocol: protocol, v6: a.Is6()}
	k.addr = wireAddr(a)
	return k
}

// wireAddr returns an address as conntrack.Tuple holds it: IPv4 in the first four bytes.
func wireAddr(a netip.Addr) (b [16]byte) {
	if a.Is4() {
		four := a.As4()
		copy(b[:], four[:])
		return b
	}
	return a.As16()
}

// netAddr is the inverse of wireAddr.
func netAddr(b [16]byte, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

// A service is the identity of a virtual service: it outlives the snapshots that name it.
type service struct {
	key  ServiceKey
	port uint16 // key.Port

	// Engine.mu guards what follows.
	number uint64 // services in the order of adding, from 1
	past   Totals // of servers that were removed, for the time they were in
	meter  meter
	spec   ServiceSpec
	// servers is in IPVS's list order, newest first, as the committed table has it.
	servers []*dest

	// mu guards the scheduler and what goes with it. A worker takes it only for a packet that
	// has no flow, and never while it holds a flow's shard.
	mu          sync.Mutex
	scheduler   sched.Scheduler
	flags       sched.Flags
	list        []*dest // what scheduler.Pick indexes
	persistence time.Duration
	netmask     [16]byte
}

// pick asks the scheduler for a server for a client, nil if none is available.
func (s *service) pick(client sched.End) *dest {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.scheduler.Pick(client); i >= 0 {
		return s.list[i]
	}
	return nil
}

// persists returns the persistence timeout, 0 for none, and the mask of clients.
func (s *service) persists() (time.Duration, [16]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.persistence, s.netmask
}

// reschedule hands the scheduler the committed servers, and a new scheduler if its name or
// flags changed.
func (s *service) reschedule() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.persistence, s.netmask = s.spec.Persistence, s.spec.mask()
	if s.scheduler == nil || s.scheduler.Name() != s.spec.Scheduler || s.flags != s.spec.Flags {
		s.scheduler, _ = sched.New(s.spec.Scheduler, s.spec.Flags) // the name was checked when the spec came in
		s.flags = s.spec.Flags
	}
	s.list = append([]*dest(nil), s.servers...)
	view := make([]sched.Server, len(s.list))
	for i, d := range s.list {
		view[i] = d
	}
	s.scheduler.Update(view)
}

// A dest is the identity of a real server within a service. It outlives snapshots, and its
// removal by conntrack.ServerID's grace.
type dest struct {
	id      conntrack.ServerID
	service ServiceKey
	addr    netip.AddrPort
	target  [16]byte // addr as packets have it
	end     sched.End
	v6      bool

	method     atomic.Uint32 // Method
	weight     atomic.Int32
	lastWeight atomic.Int32 // the latest weight that was not 0
	removed    atomic.Bool
	hop        atomic.Pointer[NextHop] // where packets for it go; nil: no route

	active       atomic.Int32  // flows in an active state (ip_vs_dest.activeconns)
	inactive     atomic.Int32  // all other flows
	persistent   atomic.Int32  // templates (ip_vs_dest.persistconns)
	upper, lower atomic.Uint32 // thresholds
	overloaded   atomic.Bool   // IP_VS_DEST_F_OVERLOAD
	counters     []destCounters

	// Engine.mu guards what follows.
	trashed time.Duration // when it was removed, on the Engine's clock
	owner   *service      // whose server it is or was
	entered Totals        // counted before it was in that service's list
	meter   meter
}

// Weight implements sched.Server.
func (d *dest) Weight() int { return int(d.weight.Load()) }

// LastWeight implements sched.Server.
func (d *dest) LastWeight() int { return int(d.lastWeight.Load()) }

// Active implements sched.Server.
func (d *dest) Active() int { return int(d.active.Load()) }

// Inactive implements sched.Server.
func (d *dest) Inactive() int { return int(d.inactive.Load()) }

// Overloaded implements sched.Server.
func (d *dest) Overloaded() bool { return d.overloaded.Load() }

// End implements sched.Server.
func (d *dest) End() sched.End { return d.end }

// foldAddr makes of an address what IPVS's hashes take.
func foldAddr(a *[16]byte, v6 bool) uint32 {
	if !v6 {
		return be32(a[:])
	}
	return be32(a[:]) ^ be32(a[4:]) ^ be32(a[8:]) ^ be32(a[12:])
}

// bound counts a new flow (ip_vs_bind_dest).
func (d *dest) bound() {
	d.inactive.Add(1)
	d.loaded()
}

// loaded sets the overload flag when the upper threshold is reached.
func (d *dest) loaded() {
	if upper := d.upper.Load(); upper != 0 && d.connections() >= uint64(upper) {
		d.overloaded.Store(true)
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
	d.overloaded.Store(false)
}

func (d *dest) connections() uint64 {
	return uint64(max(0, d.active.Load()+d.inactive.Load()))
}

// moved applies what conntrack reports of a flow's state: +1 became active, −1 became inactive.
func (d *dest) moved(change int) {
	if change != 0 {
		d.active.Add(int32(change))
		d.inactive.Add(int32(-change))
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
	d.removed.Store(false)
}

// destCounters are one worker's counts for one server; padded, so that workers never write
// to the same cache line.
type destCounters struct {
	connections, packetsIn, packetsOut, bytesIn, bytesOut atomic.Uint64
	_                                                     [24]byte
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

// A table is one committed picture of all services: immutable, published whole.
type table struct {
	services map[wireKey]*service
}

// lookup finds the service of a packet's destination: the exact port before port 0
// (ip_vs_service_find).
func (t *table) lookup(tp *conntrack.Tuple) *service {
	k := wireKey{addr: tp.Dst, port: tp.DstPort, protocol: tp.Proto, v6: tp.V6}
	if s := t.services[k]; s != nil {
		return s
	}
	k.port = 0
	return t.services[k]
}

// ends is a set of servers by address, port and protocol.
type ends map[wireKey]struct{}

// has reports whether one end of a packet is in the set: by its port, or with every port.
func (e ends) has(addr *[16]byte, port uint16, tp *conntrack.Tuple) bool {
	k := wireKey{addr: *addr, port: port, protocol: tp.Proto, v6: tp.V6}
	if _, ok := e[k]; ok {
		return true
	}
	k.port = 0
	_, ok := e[k]
	return ok
}
