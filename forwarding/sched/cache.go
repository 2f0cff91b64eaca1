package sched

import (
	"time"

	"uvs/internal/mono"
)

// Sizes and times of ip_vs_lblc.c and ip_vs_lblcr.c.
const (
	cacheBits    = 10 // CONFIG_IP_VS_LBLC_TAB_BITS
	cacheBuckets = 1 << cacheBits
	cacheFull    = 16 * cacheBuckets // above so many entries those that are idle are collected
	idleTime     = 6 * time.Minute   // ENTRY_TIMEOUT
	fullEvery    = 30                // every so many collections one is of all buckets (COUNT_FOR_FULL_EXPIRATION)
)

// Bounds of ours: the kernel takes what memory there is, whoever makes up addresses.
const (
	mostEntries  = cacheFull + cacheFull/2
	mostElements = 4 * mostEntries
)

// CollectEvery is how often a Collector wants to be called (CHECK_EXPIRE_INTERVAL).
const CollectEvery = time.Minute

// A cache remembers which servers virtual addresses have. Its entries lie in pages that are
// allocated as they are needed and used again, so that what it takes is bounded and an
// address rarely costs an allocation.
type cache struct {
	buckets  [cacheBuckets]uint32 // numbers of the first entries; 0: none
	entries  pool[entry]
	elements pool[element]
	rover    uint32    // the bucket collected last
	round    int       // collections since the last full one
	swept    mono.Time // when there was no room the last time

	members []member
	free    []int32          // members that are no server
	number  map[Server]int32 // of members
	listed  []int32          // numbers of members by their index in the list
	news    news             // of members
}

// An entry is a virtual address and its servers.
type entry struct {
	addr    [16]byte
	used    mono.Time
	changed mono.Time // its servers
	first   uint32    // number of its latest element; 0: none
	size    int32     // elements
	next    uint32    // number of the next entry in the bucket
	ranking *ranking  // of the elements, if there are many; nil until it is asked for
}

// An element says that a server is in an entry's set.
type element struct {
	member int32
	next   uint32 // number of the next element of the entry
}

// A member is a server that is in the list or in a set.
type member struct {
	server Server
	at     int // its index in the list, or none
	sets   int
}

// cost is what one more connection costs a member, if it may get one.
func (m *member) cost() cost {
	if m.at == none || !available(m.server) {
		return cost{}
	}
	return cost{overhead(m.server), uint64(m.server.Weight())}
}

// update takes the service's list. Servers that left it stay in their sets, as they may return.
func (c *cache) update(list []Server) {
	if c.number == nil {
		c.number = make(map[Server]int32)
	}
	for i := range c.members {
		c.members[i].at = none
	}
	c.listed = make([]int32, len(list))
	c.news.flood()
	for i, s := range list {
		n, ok := c.number[s]
		if !ok {
			n = c.enroll(s)
		}
		c.members[n].at, c.listed[i] = i, n
	}
	for i := range c.members {
		c.forget(int32(i))
	}
}

// enroll makes a server a member.
func (c *cache) enroll(s Server) int32 {
	n := int32(len(c.members))
	if last := len(c.free) - 1; last >= 0 {
		n, c.free = c.free[last], c.free[:last]
	} else {
		c.members = append(c.members, member{})
	}
	c.members[n].server, c.number[s] = s, n
	return n
}

// forget frees a member that is neither listed nor in a set.
func (c *cache) forget(n int32) {
	if m := &c.members[n]; m.server != nil && m.at == none && m.sets == 0 {
		delete(c.number, m.server)
		m.server = nil
		c.free = append(c.free, n)
	}
}

// cacheHash is ip_vs_lblc_hashkey.
func cacheHash(addr *[16]byte) uint32 { return Fold(addr) * goldenRatio >> (32 - cacheBits) }

// find returns the entry of an address, nil if there is none.
func (c *cache) find(addr *[16]byte) *entry {
	for n := c.buckets[cacheHash(addr)]; n != 0; {
		e := c.entries.at(n)
		if e.addr == *addr {
			return e
		}
		n = e.next
	}
	return nil
}

// insert adds an entry without servers, or returns nil if there is no room: then all that is
// over is looked for, but not by each packet.
func (c *cache) insert(addr *[16]byte, now mono.Time, expiration time.Duration) *entry {
	if c.entries.used >= mostEntries {
		if c.swept != 0 && now.Sub(c.swept) < CollectEvery {
			return nil
		}
		c.swept = now
		if c.sweep(now.Add(-expiration), mostEntries); c.entries.used >= mostEntries {
			return nil
		}
	}
	n := c.entries.take()
	e, bucket := c.entries.at(n), &c.buckets[cacheHash(addr)]
	*e = entry{addr: *addr, used: now, next: *bucket}
	*bucket = n
	return e
}

// has reports whether the server at an index of the list is in the entry's set.
func (c *cache) has(e *entry, i int) bool {
	if e.ranking != nil {
		return e.ranking.has(c.listed[i])
	}
	for n := e.first; n != 0; n = c.elements.at(n).next {
		if c.memberOf(n).at == i {
			return true
		}
	}
	return false
}

// memberOf returns the server of an element.
func (c *cache) memberOf(n uint32) *member { return &c.members[c.elements.at(n).member] }

// add puts the server s into the entry's set, in front, if there is room.
func (c *cache) add(e *entry, s Server, now mono.Time) {
	if c.elements.used >= mostElements {
		return
	}
	m := c.number[s]
	n := c.elements.take()
	*c.elements.at(n) = element{member: m, next: e.first}
	c.members[m].sets++
	e.first, e.changed = n, now
	e.size++
	if e.ranking != nil && !c.enter(e.ranking, m) {
		e.ranking = nil
	}
}

// drop takes an element out of the entry's set.
func (c *cache) drop(e *entry, n uint32, now mono.Time) {
	for at := &e.first; *at != 0; at = &c.elements.at(*at).next {
		if *at == n {
			*at = c.elements.at(n).next
			e.changed = now
			e.size--
			e.ranking = nil
			c.release(n)
			return
		}
	}
}

// clear empties the entry's set.
func (c *cache) clear(e *entry) {
	for e.first != 0 {
		n := e.first
		e.first = c.elements.at(n).next
		c.release(n)
	}
	e.size, e.ranking = 0, nil
}

// release takes an element back that is in no set.
func (c *cache) release(n uint32) {
	m := c.elements.at(n).member
	c.members[m].sets--
	c.forget(m)
	c.elements.give(n)
}

// collect is the kernel's periodic timer (ip_vs_lblc_check_expire).
func (c *cache) collect(now mono.Time, expiration time.Duration) {
	if c.round == fullEvery-1 {
		c.sweep(now.Add(-expiration), mostEntries)
		c.round = 0
		return
	}
	over := c.entries.used - cacheFull
	if over <= 0 {
		c.round++
		return
	}
	c.sweep(now.Add(-idleTime), min(over*4/3, cacheFull/2))
}

// sweep goes round the buckets, from where the last sweep ended, and removes entries that were
// not used after a time, until it has removed goal of them and finished their bucket.
func (c *cache) sweep(until mono.Time, goal int) {
	for range cacheBuckets {
		c.rover = (c.rover + 1) % cacheBuckets
		for at := &c.buckets[c.rover]; *at != 0; {
			n := *at
			e := c.entries.at(n)
			if e.used.After(until) {
				at = &e.next
				continue
			}
			*at = e.next
			c.clear(e)
			c.entries.give(n)
			goal--
		}
		if goal <= 0 {
			return
		}
	}
}
