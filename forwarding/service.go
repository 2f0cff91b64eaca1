package forwarding

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"uvs/conntrack"
	"uvs/forwarding/sched"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// A Method is how packets reach a real server. Values are IPVS's (IP_VS_CONN_F_MASQ and
// following in include/uapi/linux/ip_vs.h) and stand in the low bits of a flow's flags.
type Method uint8

// Forwarding methods.
const (
	Masq   Method = 0 // NAT: the destination address and port are rewritten
	Local  Method = 1 // IPVS has it for servers that are this host; here these have one of the others
	Tunnel Method = 2 // the packet goes inside another one: ServerSpec.Tunnel
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
	Protocol uint8      // wire.ProtoTCP, wire.ProtoUDP or wire.ProtoSCTP; 0: see MarkKey
}

// String returns the key in keepalived's notation, [192.0.2.10]:tcp:80, or FWM 7.
func (k ServiceKey) String() string {
	if mark := k.Mark(); mark != 0 {
		return fmt.Sprintf("FWM %d", mark)
	}
	return fmt.Sprintf("[%s]:%s:%d", k.Addr, protocolName(k.Protocol), k.Port)
}

func protocolName(p uint8) string {
	switch p {
	case wire.ProtoTCP:
		return "tcp"
	case wire.ProtoUDP:
		return "udp"
	case wire.ProtoSCTP:
		return "sctp"
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
	// OnePacket gives each UDP packet a server of its own and keeps no flow of it. As in IPVS, nothing
	// translates a NAT server's answers back then.
	OnePacket bool
	// Netmask says which clients persist together: a mask of the address as packets have it,
	// for IPv4 its first four bytes (gaps are allowed), for IPv6 a prefix. The zero value is
	// each client for itself.
	Netmask [16]byte
	// Together has all clients persist together, whatever Netmask is: the mask 0.0.0.0.
	Together bool
	// CallID has only clients with the same Call-ID of SIP persist together (the persistence engine
	// sip). It is for UDP; what has none opens no flow.
	CallID bool
	// ReplyByUplink sends what comes back through the director to the station that the
	// client's packets come from, instead of where the routes say.
	ReplyByUplink bool
	// Pool is where flows to its servers by NAT get local ends from, so that the servers see them
	// come from this host (FULLNAT). Its family is the service's; the zero Pool is none.
	Pool Pool
}

// maxPersistence is the longest persistence that ipvsadm takes.
const maxPersistence = 31 * 24 * time.Hour

// mask returns the netmask of clients.
func (s *ServiceSpec) mask() [16]byte {
	if s.Together {
		return [16]byte{}
	}
	if s.Netmask == ([16]byte{}) {
		return [16]byte(bytes.Repeat([]byte{0xff}, 16))
	}
	return s.Netmask
}

// A ServerSpec is what can be configured of a real server.
type ServerSpec struct {
	Method Method
	Tunnel TunnelSpec // of method Tunnel, else the zero value
	Weight int        // 0 to MaxWeight; 0 keeps connections and takes no new ones
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

// wireKeyOf returns the key of a packet's destination.
func wireKeyOf(tp *conntrack.Tuple) wireKey {
	return wireKey{addr: tp.Dst, port: tp.DstPort, protocol: tp.Proto, v6: tp.V6}
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
	// What packets that have no flow need is together on one line of memory, as in dest.

	// mu guards the scheduler. A worker takes it only for a packet that has no flow, and never while
	// it holds a flow's shard.
	mu          sync.Mutex
	roster      atomic.Pointer[roster] // changes with mu held
	guess       atomic.Uint32          // the index in the roster of who may be picked next, for touch
	port        uint16                 // key.Port
	flags       sched.Flags            // of the scheduler; mu guards them
	onePacket   atomic.Bool
	uplink      atomic.Bool                       // ServiceSpec.ReplyByUplink
	persistence atomic.Pointer[persistence]       // nil: connections do not persist
	pool        atomic.Pointer[conntrack.Pool]    // of local ends; nil: flows keep the client's
	peers       atomic.Pointer[map[peer]struct{}] // direct-routing servers on our links; nil: none

	key ServiceKey

	// Engine.mu guards what follows.
	past  Totals // of servers that were removed, for the time they were in
	meter meter
	spec  ServiceSpec
	// servers is in IPVS's list order, newest first, as the committed table has it.
	servers []*dest
}

// A roster is a service's servers as its scheduler knows them. But for the scheduler and the notes it
// is immutable.
type roster struct {
	scheduler sched.Scheduler // the service's mu guards it
	list      []*dest         // what scheduler.Pick indexes
	notes     notes           // what the scheduler is to be told of list
}

// A persistence says for how long which clients stay with a server.
type persistence struct {
	timeout time.Duration
	mask    [16]byte
	callID  bool
}

// pick asks the scheduler for a server for a packet, nil if none is available.
func (s *service) pick(r sched.Request) *dest {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.roster.Load()
	o.notes.pass(o.scheduler)
	i := o.scheduler.Pick(r)
	if i < 0 {
		return nil
	}
	s.guess.Store(uint32(i + 1))
	return o.list[i]
}

// expected returns the server that the next pick may return: the one behind the last in the list,
// which it is if they take turns or are idle. It is asked without mu. nil: nobody.
func (s *service) expected() *dest {
	list := s.roster.Load().list
	if len(list) == 0 {
		return nil
	}
	if i := int(s.guess.Load()); i < len(list) {
		return list[i]
	}
	return list[0]
}

// configure takes new settings.
func (s *service) configure(spec ServiceSpec) {
	s.spec = spec
	var p *persistence
	if spec.Persistence != 0 {
		p = &persistence{spec.Persistence, spec.mask(), spec.CallID}
	}
	s.persistence.Store(p)
	s.onePacket.Store(spec.OnePacket)
}

// spread tells the servers what they have to know of the service's settings. A flow finds
// them by its server alone.
func (s *service) spread() {
	s.uplink.Store(s.spec.ReplyByUplink)
	for _, d := range s.servers {
		d.uplink.Store(s.spec.ReplyByUplink)
	}
}

// reschedule hands the scheduler the committed servers, and a new scheduler if its name or
// flags changed.
func (s *service) reschedule(env sched.Env) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &roster{list: slices.Clone(s.servers)}
	if old := s.roster.Load(); old != nil && old.scheduler.Name() == s.spec.Scheduler && s.flags == s.spec.Flags {
		o.scheduler = old.scheduler
	} else {
		o.scheduler, _ = sched.New(s.spec.Scheduler, s.spec.Flags, env) // the name was checked when the spec came in
		s.flags = s.spec.Flags
	}
	o.notes.init(len(o.list))
	view := make([]sched.Server, len(o.list))
	for i, d := range o.list {
		view[i] = d
		// Before the scheduler looks: what changes afterwards is noted here.
		d.watch(o.scheduler.Watches(), &o.notes, i)
	}
	o.scheduler.Update(view)
	s.roster.Store(o)
}

// collect has the scheduler forget what it should.
func (s *service) collect(now mono.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.roster.Load().scheduler.(sched.Collector); ok {
		c.Collect(now)
	}
}

// A table is one committed picture of all services: immutable, published whole.
type table struct {
	services directory
	hosts    hosts // the virtual addresses
	marked   bool  // there are services of marks
	ftp      bool  // there is a service of FTP's port
}

// exact finds the service of a packet's very destination.
func (t *table) exact(tp *conntrack.Tuple) *service {
	k := wireKeyOf(tp)
	return t.services.find(&k)
}

// lookup finds the service of a packet's destination: that of its port, then that of FTP if its
// port may be of a data connection, then that of all ports (ip_vs_service_find).
func (t *table) lookup(tp *conntrack.Tuple) *service {
	k := wireKeyOf(tp)
	if s := t.services.find(&k); s != nil {
		return s
	}
	if t.ftp && tp.Proto == wire.ProtoTCP && (tp.DstPort == ftpDataPort || tp.DstPort >= leastDataPort) {
		k.port = ftpPort
		if s := t.services.find(&k); s != nil {
			return s
		}
	}
	k.port = 0
	return t.services.find(&k)
}

// hosts is a set of addresses.
type hosts map[wireKey]struct{}

func (h hosts) add(a netip.Addr) { h[newWireKey(a, 0, 0)] = struct{}{} }

func (h hosts) has(addr *[16]byte, v6 bool) bool {
	_, ok := h[wireKey{addr: *addr, v6: v6}]
	return ok
}

// ends is a set of servers by address, port and protocol.
type ends struct {
	ports map[wireKey]struct{}
	hosts hosts // their addresses
}

func newEnds(servers []ServiceKey) *ends {
	e := &ends{ports: make(map[wireKey]struct{}, len(servers)), hosts: make(hosts, len(servers))}
	for _, k := range servers {
		e.ports[newWireKey(k.Addr, k.Port, k.Protocol)] = struct{}{}
		e.hosts.add(k.Addr)
	}
	return e
}

// has reports whether one end of a packet is in the set: by its port, or with every port.
func (e *ends) has(addr *[16]byte, port uint16, tp *conntrack.Tuple) bool {
	k := wireKey{addr: *addr, port: port, protocol: tp.Proto, v6: tp.V6}
	if _, ok := e.ports[k]; ok {
		return true
	}
	k.port = 0
	_, ok := e.ports[k]
	return ok
}
