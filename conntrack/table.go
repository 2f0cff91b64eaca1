package conntrack

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a [Table] is made from.
type Config struct {
	MaxFlows int      // bound on flows and templates of both families together, 1 to 2^28
	Shards   int      // up to 65536; 0 means 16 per CPU, at least 64
	Workers  int      // that clients are spread over by [Spread]; 0 means 1
	Secret   [16]byte // key of the hash: random, and the same as long as a saved table lives
	Timeouts Timeouts // zeros mean the kernel's

	// Released is called when a flow that has a server goes, with the shard locked: it
	// must be short and must not call the table. active is how the flow counted last. It
	// may be nil.
	Released func(id ServerID, active bool)

	// ReleasedTemplate is the same for persistence templates.
	ReleasedTemplate func(id ServerID)

	// ReleasedData is called when a flow with [FlagData] goes, under the same conditions.
	ReleasedData func(virtual, dest Endpoint, proto uint8, v6 bool)
}

const (
	flowLimit  = 1 << 28
	shardLimit = 1 << 16
)

// A Table is a flow table. All methods but Close are safe for use by many goroutines,
// each of which holds at most one locked [Flow].
type Table struct {
	shards       []shard // those of flows, of one worker after the other, and as many of templates behind them
	workers      uint32  // that shards of flows are apart for
	each         uint64  // shards of flows that a worker has
	secret       [16]byte
	released     func(ServerID, bool)
	left         func(ServerID) // Config.ReleasedTemplate
	helpers      helpers
	releasedData func(virtual, dest Endpoint, proto uint8, v6 bool) // Config.ReleasedData; may be nil
	maxFlows     int
	ticks        [numStates]atomic.Uint32 // timeouts
	secure       atomic.Bool              // TCP follows the table against floods
	arena4       *arena[entry4]
	arena6       *arena[entry6]
	indexes      indexes
	leases       atomic.Pointer[Table] // of local ends; nil until there is a pool
	preparing    sync.Mutex            // Prepare is running; taken outside a shard's lock

	_       [64]byte // what follows is written by all workers
	credits credits
	_       [64]byte
	swept   atomic.Uint32 // all shards have worked off the ticks below
	turn    atomic.Uint32 // the shard Expire begins with
	_       [64]byte
}

// New maps an empty table. Address space is taken for all flows at once, memory only as
// flows come.
func New(c Config) (*Table, error) {
	shards, err := c.check()
	if err != nil {
		return nil, err
	}
	t := &Table{
		workers:  uint32(max(1, c.Workers)),
		secret:   c.Secret,
		released: c.Released,
		left:     c.ReleasedTemplate,

		releasedData: c.ReleasedData,
		maxFlows:     c.MaxFlows,
	}
	t.each = uint64(max(1, shards/int(t.workers)))
	t.shards = make([]shard, 2*uint64(t.workers)*t.each)
	if t.released == nil {
		t.released = func(ServerID, bool) {}
	}
	if t.left == nil {
		t.left = func(ServerID) {}
	}
	t.credits.init(c.MaxFlows, len(t.shards))
	t.storeTimeouts(DefaultTimeouts())
	t.storeTimeouts(c.Timeouts)
	if err := t.mapShards(); err != nil {
		_ = t.Close()
		return nil, fmt.Errorf("map a flow table of %d flows: %w", c.MaxFlows, err)
	}
	return t, nil
}

// check returns the number of shards.
func (c *Config) check() (int, error) {
	if c.MaxFlows < 1 || c.MaxFlows > flowLimit {
		return 0, fmt.Errorf("flow table size %d is not from 1 to %d", c.MaxFlows, flowLimit)
	}
	n := c.Shards
	if n == 0 {
		n = max(64, 1<<bits.Len(uint(16*runtime.GOMAXPROCS(0)-1)))
		n = min(n, shardLimit)
	}
	if n < 1 || n > shardLimit {
		return 0, fmt.Errorf("number of shards %d is not from 1 to %d", n, shardLimit)
	}
	if c.Workers < 0 || c.Workers > shardLimit {
		return 0, fmt.Errorf("number of workers %d is not from 0 to %d", c.Workers, shardLimit)
	}
	return n, c.Timeouts.check()
}

// mapShards maps the arenas and the first indexes.
func (t *Table) mapShards() (err error) {
	// A shard keeps the chunks it has taken, so in the end all have room for the most flows
	// that each ever had. The keyed hash spreads flows evenly; twice the bound and two
	// chunks per shard are more than that comes to.
	capacity := 2*t.maxFlows + 2*chunk*len(t.shards)
	if t.arena4, err = newArena[entry4](capacity, size4); err != nil {
		return err
	}
	if t.arena6, err = newArena[entry6](capacity, size6); err != nil {
		return err
	}
	t.indexes.shards = len(t.shards)
	for i := range t.shards {
		x, err := t.indexes.create(i, minIndexBits)
		if err != nil {
			return err
		}
		s := &t.shards[i]
		s.number, s.v4, s.v6 = i, t.arena4.entries, t.arena6.entries
		s.index.Store(x)
	}
	return nil
}

// Close unmaps the table. No other call may be running or follow.
func (t *Table) Close() error {
	t.shards = nil
	var leases error
	if l := t.leases.Load(); l != nil {
		leases = l.Close()
	}
	return errors.Join(leases, t.arena4.close(), t.arena6.close(), t.indexes.close())
}

// Len returns the number of flows and templates. While others insert, it is a little off.
func (t *Table) Len() int {
	spare := t.credits.pool.Load()
	for i := range t.shards {
		spare += t.shards[i].spare.Load()
	}
	return max(0, t.maxFlows-int(spare))
}

// SetTimeouts changes the timeouts. As in the kernel, a flow learns of it at its next
// packet. Zeros keep what is in force; if a value is out of range, nothing changes.
func (t *Table) SetTimeouts(tm Timeouts) error {
	if err := tm.check(); err != nil {
		return err
	}
	t.storeTimeouts(tm)
	return nil
}

// SetSecureTCP has TCP follow the state table that the kernel takes against floods, or the
// usual one. Flows that are there follow it from their next packet on (tcp_timeout_change).
func (t *Table) SetSecureTCP(on bool) {
	t.secure.Store(on)
}

func (t *Table) storeTimeouts(tm Timeouts) {
	for s, d := range tm {
		if d != 0 {
			t.ticks[s].Store(ticksOf(d))
		}
	}
}

// Timeouts returns the timeouts in force, rounded up to 125 ms.
func (t *Table) Timeouts() Timeouts {
	var tm Timeouts
	for s := range tm {
		tm[s] = time.Duration(t.ticks[s].Load()) * tick
	}
	return tm
}

// Find looks for the flow of a packet: first as one from its client, then as a reply, then as
// one to a local end. On true, f is that flow and its shard is locked until f.Unlock.
func (t *Table) Find(tp *Tuple, f *Flow) bool {
	if t.find(tp, Original, f) || t.find(tp, Reply, f) {
		return true
	}
	l := t.leases.Load()
	return l != nil && t.findLeased(l, tp, f)
}

func (t *Table) find(tp *Tuple, d Dir, f *Flow) bool {
	client, port, _, _ := tp.ends(d)
	s, tag := t.place(tp, client, port)
	if s.absent(tag) {
		return false
	}
	s.mu.Lock()
	if ref := s.lookup(tag, tp, d); ref != 0 {
		f.set(t, s, ref, d)
		return true
	}
	s.mu.Unlock()
	return false
}

// place returns the shard and the tag of a client. The shards that one worker's clients are in are no other's, so that
// no lock goes to and fro between cores.
func (t *Table) place(tp *Tuple, client *[16]byte, port uint16) (*shard, uint32) {
	h := t.hash(tp.Proto, client, port, tp.V6)
	i, _ := bits.Mul64(h, t.each)
	if t.workers > 1 {
		i += uint64(uint32(Spread(client, port, tp.V6))%t.workers) * t.each
	}
	return &t.shards[i], uint32(h)
}
