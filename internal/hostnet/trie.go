package hostnet

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// A key is the leading bits of an address, aligned to the top of 128: IPv4 addresses use
// the first 32. Two families never share a trie.
type key struct{ hi, lo uint64 }

func keyOf(a netip.Addr) key {
	if a.Is4() {
		b := a.As4()
		return key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// bit returns bit i, counted from the top, and 0 beyond the end.
func (k key) bit(i uint8) int {
	if i < 64 {
		return int(k.hi >> (63 - i) & 1)
	}
	return int(k.lo >> (127 - i) & 1) // a shift by more than 63 gives 0
}

// common returns how many leading bits k and o share, at most limit.
func (k key) common(o key, limit uint8) uint8 {
	n := bits.LeadingZeros64(k.hi ^ o.hi)
	if n == 64 {
		n += bits.LeadingZeros64(k.lo ^ o.lo)
	}
	return min(uint8(n), limit)
}

// A node is a node of a path-compressed binary trie of routes. Nodes are immutable: a
// change copies the path to the root and shares the rest, so that a snapshot may keep an
// old root. The nil node is the empty trie.
type node struct {
	key key
	len uint8 // bits of key that count; the others are zero
	// routes lead to this very prefix, best first. It is empty at a mere branching.
	routes []Route
	child  [2]*node
}

func (n *node) covers(k key) bool { return n.key.common(k, n.len) == n.len }

// with returns the trie with the routes of one prefix set. An empty slice removes them.
func (n *node) with(dst netip.Prefix, routes []Route) *node {
	return n.set(keyOf(dst.Addr()), uint8(dst.Bits()), routes)
}

func (n *node) set(k key, length uint8, routes []Route) *node {
	if n == nil {
		if len(routes) == 0 {
			return nil
		}
		return &node{key: k, len: length, routes: routes}
	}
	switch common := n.key.common(k, min(n.len, length)); {
	case common == n.len:
		c := *n
		if length == n.len {
			c.routes = routes
		} else {
			side := k.bit(n.len)
			c.child[side] = n.child[side].set(k, length, routes)
		}
		return c.compact()
	case len(routes) == 0:
		return n // nothing to remove
	case common == length:
		above := &node{key: k, len: length, routes: routes}
		above.child[n.key.bit(length)] = n
		return above
	default:
		fork := &node{key: k.truncate(common), len: common}
		fork.child[k.bit(common)] = &node{key: k, len: length, routes: routes}
		fork.child[n.key.bit(common)] = n
		return fork
	}
}

func (k key) truncate(n uint8) key {
	if n <= 64 {
		return key{hi: k.hi &^ (^uint64(0) >> n)}
	}
	return key{hi: k.hi, lo: k.lo &^ (^uint64(0) >> (n - 64))}
}

// compact returns the node, or what is left of it when it serves no purpose.
func (n node) compact() *node {
	if len(n.routes) == 0 {
		if n.child[0] == nil {
			return n.child[1]
		}
		if n.child[1] == nil {
			return n.child[0]
		}
	}
	return &n
}

// at returns the routes of exactly one prefix.
func (n *node) at(dst netip.Prefix) []Route {
	k, length := keyOf(dst.Addr()), uint8(dst.Bits())
	for n != nil && n.len <= length && n.covers(k) {
		if n.len == length {
			return n.routes
		}
		n = n.child[k.bit(n.len)]
	}
	return nil
}

// find returns the best acceptable route for a destination: the longest prefix first,
// among its routes the lowest metric, and a shorter prefix only when none there is alive.
func (n *node) find(k key, s *Snapshot) *Route {
	if n == nil || !n.covers(k) {
		return nil
	}
	if r := n.child[k.bit(n.len)].find(k, s); r != nil {
		return r
	}
	for i := range n.routes {
		if s.alive(&n.routes[i]) {
			return &n.routes[i]
		}
	}
	return nil
}

// walk yields all routes in order of address, a shorter prefix before those inside it.
func (n *node) walk(yield func(Route) bool) bool {
	if n == nil {
		return true
	}
	for _, r := range n.routes {
		if !yield(r) {
			return false
		}
	}
	return n.child[0].walk(yield) && n.child[1].walk(yield)
}
