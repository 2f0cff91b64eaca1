package forwarding

import (
	"net/netip"
	"time"

	"uvs/conntrack"
	"uvs/internal/mono"
	"uvs/internal/wire"
)

// A Removal says what becomes of the connections of a server that is removed. It gets no new ones,
// in any case, and no template sends a client to it. The zero Removal is IPVS's.
type Removal struct {
	How Fate
	// Time is how long connections may go on with Drain; what is left then is reset. 0: until they end.
	Time time.Duration
}

// A Fate is what becomes of connections.
type Fate uint8

// The fates. AsIPVS drops what clients send, while answers are still translated, unless the setting
// expire_nodest_conn has the connections ended. Drop is the same whatever that setting is. Drain has them
// go on, which nobody counts. Reset has both ends told, see Worker.sever.
const (
	AsIPVS Fate = iota
	Drain
	Drop
	Reset
)

// probeRounds is how often the ends of a connection that is to be reset are asked to say where they
// are, a second apart: a question may get lost.
const probeRounds = 3

// Retire says what becomes of the connections of a server that this Tx deletes, by itself or with its
// service. It counts for nothing if the server is there after all.
func (tx *Tx) Retire(k ServiceKey, server netip.AddrPort, r Removal) {
	tx.retired[trashKey{k, server}] = r
}

// retire lets a server that was put aside meet its fate. e.mu is held.
func (e *Engine) retire(d *dest, r Removal) {
	d.until, d.probes = 0, 0
	if r.How == Drain && r.Time > 0 {
		d.until = e.uptime() + r.Time
	}
	d.fate.Store(uint32(r.How))
	if r.How == Reset {
		e.doom(d)
	}
}

// doom has the connections of a removed server reset. e.mu is held.
func (e *Engine) doom(d *dest) {
	d.fate.Store(uint32(Reset))
	d.until, d.probes = 0, probeRounds
	select {
	case e.doomed <- struct{}{}:
	default: // it is to be done already
	}
}

// remainsFor reports whether the connections of a removed server need its service's packets to be
// taken: they go on, or are to be told. e.mu is held.
func (d *dest) remainsFor() bool {
	how := Fate(d.fate.Load())
	return (how == Drain || how == Reset && d.probes > 0) && d.connections() > 0
}

// staysFor reports whether a deleted service is still to take packets: for connections that go on, while new
// ones are refused as by a service without servers. e.mu is held.
func (e *Engine) staysFor(k ServiceKey) bool {
	for at, d := range e.trash {
		if at.service == k && d.remainsFor() {
			return true
		}
	}
	return false
}

// leave publishes which deleted services still take packets, if that is another set than before. e.mu is held.
func (e *Engine) leave() {
	over := false
	for k := range e.leaving {
		if !e.staysFor(k) {
			delete(e.leaving, k)
			over = true
		}
	}
	if over {
		e.publish()
	}
}

// LeavingServices returns the services that were deleted while connections to them go on, or are about to
// be reset: their packets are still taken. Safe for use by many goroutines.
func (e *Engine) LeavingServices() []ServiceKey {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []ServiceKey
	for k := range e.leaving {
		if k.Mark() == 0 {
			list = append(list, k)
		}
	}
	return list
}

// A Parting is a removed server whose connections go on or are about to be reset.
type Parting struct {
	Service     ServiceKey
	Server      netip.AddrPort
	Connections int
	// Left is how long they may go on; 0: until they end.
	Left time.Duration
}

// Partings returns the servers that were removed and whose connections go on by Drain, in no order. Safe for
// use by many goroutines.
func (e *Engine) Partings() []Parting {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Parting
	for at, d := range e.trash {
		if Fate(d.fate.Load()) != Drain || d.connections() == 0 {
			continue
		}
		p := Parting{Service: at.service, Server: at.server, Connections: int(d.connections())}
		if d.until != 0 {
			p.Left = max(d.until-e.uptime(), time.Second)
		}
		list = append(list, p)
	}
	return list
}

// part moves removed servers on: who has drained for long enough is reset. e.mu is held.
func (e *Engine) part(uptime time.Duration) {
	again := false
	for _, d := range e.trash {
		if d.until != 0 && uptime >= d.until && d.connections() > 0 {
			e.doom(d)
		}
		again = again || d.probes > 0
	}
	if again {
		select {
		case e.doomed <- struct{}{}:
		default:
		}
	}
	e.leave()
}

// A probe is a connection whose ends are to be asked where they are.
type probe struct {
	server                conntrack.ServerID
	client, virtual, dest conntrack.Endpoint // dest is zero if the server is not asked
	from                  conntrack.Endpoint // as whom
	origin                station
	v6                    bool
}

// probesAtOnce is how many connections a worker asks about between two batches of frames.
const probesAtOnce = 64

// probeDoomed has the workers ask about every connection of the servers that are to be reset.
func (e *Engine) probeDoomed(now mono.Time) {
	e.mu.Lock()
	doomed := make(map[conntrack.ServerID]bool)
	for _, d := range e.trash {
		if d.probes > 0 {
			d.probes--
			doomed[d.id] = d.connections() > 0
		}
	}
	e.mu.Unlock()
	var list []probe
	turn := 0
	hand := func() {
		e.worker[turn%len(e.worker)].ask(list)
		list, turn = nil, turn+1
	}
	e.flows.Each(now, func(x *conntrack.Entry) bool {
		if x.Proto != wire.ProtoTCP || x.Template || !doomed[x.Server] {
			return true
		}
		p := probe{
			server: x.Server, v6: x.Client.Addr().Is6(),
			client: wireEnd(x.Client), virtual: wireEnd(x.Virtual), from: wireEnd(x.Client),
		}
		p.origin.mac = x.MAC
		p.origin.setFlowLink(x.Link)
		if Method(x.Flags&conntrack.FlagMethod) == Masq { // of the others no answer comes back this way
			p.dest = wireEnd(x.Dest)
			if x.Local.IsValid() {
				p.from = wireEnd(x.Local)
			}
		}
		if list = append(list, p); len(list) == probesAtOnce {
			hand()
		}
		return true
	})
	if len(list) > 0 {
		hand()
	}
}

func wireEnd(a netip.AddrPort) conntrack.Endpoint {
	return conntrack.Endpoint{Addr: wireAddr(a.Addr()), Port: a.Port()}
}
