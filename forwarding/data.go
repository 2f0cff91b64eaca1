package forwarding

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"uvs/conntrack"
	"uvs/internal/wire"
)

// A DataEnd is what data connections of FTP by NAT come to and go to: a port of a virtual
// address, and one of a server. The host's own stack must get neither the client's packets to
// the first nor the server's from the second.
type DataEnd struct{ Virtual, Server netip.AddrPort }

// dataEnds are the data connections that are prepared or alive. Which ports they use is only
// known from what control connections say, so steering follows: the packet that tells an
// end of a connection of it waits until it does. Safe for use by many goroutines.
type dataEnds struct {
	waits   bool          // Config.Steered
	some    atomic.Bool   // there is one
	steered atomic.Uint64 // version up to which steering has them
	changed chan struct{} // holds one
	wake    func()        // those that wait for steered

	mu      sync.RWMutex // guards what follows; taken inside a flow's shard
	ends    map[dataKey]*dataUse
	servers map[wireKey]int // how many of ends have that server's end
	version uint64          // counts the ends that were added
	idle    bool            // some have no flow any more
}

// A dataKey is a DataEnd as packets have it.
type dataKey struct {
	virtual, server conntrack.Endpoint
	v6              bool
}

// A dataUse is by how many flows an end is used, and the version that it came with.
type dataUse struct {
	flows   int
	version uint64
}

func (x *dataEnds) init(waits bool, wake func()) {
	x.waits, x.wake, x.changed = waits, wake, make(chan struct{}, 1)
	x.ends, x.servers = make(map[dataKey]*dataUse), make(map[wireKey]int)
}

// add notes a flow to come, and returns the version that steering has to have before
// anybody may learn of it; 0: it has that already.
func (x *dataEnds) add(k dataKey) (gate uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	u := x.ends[k]
	if u == nil {
		x.version++
		u = &dataUse{version: x.version}
		x.ends[k] = u
		x.servers[k.serverKey()]++
		x.some.Store(true)
		x.tell()
	}
	u.flows++
	if x.waits && u.version > x.steered.Load() {
		return u.version
	}
	return 0
}

// drop notes that a flow is gone. Its end stays for others to come until prune.
func (x *dataEnds) drop(k dataKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	u := x.ends[k]
	if u == nil {
		return
	}
	if u.flows--; u.flows > 0 {
		return
	}
	x.idle = true
	if !x.waits {
		x.prune()
	}
}

// prune forgets the ends without flows. x.mu is held.
func (x *dataEnds) prune() {
	if !x.idle {
		return
	}
	x.idle = false
	for k, u := range x.ends {
		if u.flows > 0 {
			continue
		}
		delete(x.ends, k)
		if s := k.serverKey(); x.servers[s] > 1 {
			x.servers[s]--
		} else {
			delete(x.servers, s)
		}
	}
	x.some.Store(len(x.ends) > 0)
}

func (x *dataEnds) tell() {
	select {
	case x.changed <- struct{}{}:
	default:
	}
}

// server reports whether a packet comes from a server's end.
func (x *dataEnds) server(t *conntrack.Tuple) bool {
	if !x.some.Load() || t.Proto != wire.ProtoTCP {
		return false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.servers[wireKey{addr: t.Src, port: t.SrcPort, protocol: t.Proto, v6: t.V6}] > 0
}

func (k dataKey) serverKey() wireKey {
	return wireKey{addr: k.server.Addr, port: k.server.Port, protocol: wire.ProtoTCP, v6: k.v6}
}

// DataChanges has a value when there are ends that DataEnds has not told of yet.
func (e *Engine) DataChanges() <-chan struct{} { return e.data.changed }

// DataEnds returns the ends of FTP's data connections by NAT in no order, without those that no
// connection uses any more, and the version to call Steered with. Safe for use by many
// goroutines.
func (e *Engine) DataEnds() (ends []DataEnd, version uint64) {
	x := &e.data
	x.mu.Lock()
	defer x.mu.Unlock()
	x.prune()
	ends = make([]DataEnd, 0, len(x.ends))
	for k := range x.ends {
		ends = append(ends, DataEnd{
			Virtual: netip.AddrPortFrom(netAddr(k.virtual.Addr, k.v6), k.virtual.Port),
			Server:  netip.AddrPortFrom(netAddr(k.server.Addr, k.v6), k.server.Port),
		})
	}
	return ends, x.version
}

// DataIdle reports whether DataEnds would return less than it did. Safe for use by many
// goroutines.
func (e *Engine) DataIdle() bool {
	e.data.mu.RLock()
	defer e.data.mu.RUnlock()
	return e.data.idle
}

// Steered says that the host's stack gets nothing of the ends that DataEnds returned with a
// version: packets that tell of them go on. Safe for use by many goroutines.
func (e *Engine) Steered(version uint64) {
	e.data.steered.Store(version)
	e.data.wake()
}

// releasedData forgets a data connection; conntrack calls it under a shard lock.
func (e *Engine) releasedData(virtual, dest conntrack.Endpoint, _ uint8, v6 bool) {
	e.data.drop(dataKey{virtual, dest, v6})
}
