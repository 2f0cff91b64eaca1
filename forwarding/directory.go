package forwarding

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// A directory finds services by what packets say of them. It is immutable. Keys and pointers lie
// together, so that a lookup reads one line of memory, which touch can ask for beforehand; a map of
// Go has three on the way.
type directory struct {
	slots []directorySlot // a power of two, at most half of them taken
}

// A directorySlot is 32 bytes where pointers have 64 bits. service is nil in one that is free; it is
// atomic only to be read by touch, whatever the compiler thinks of a value that nobody wants.
type directorySlot struct {
	service atomic.Pointer[service]
	key     wireKey
}

func newDirectory(list []*service) directory {
	d := directory{make([]directorySlot, 1<<bits.Len(uint(2*len(list))))}
	for _, s := range list {
		k := newWireKey(s.key.Addr, s.key.Port, s.key.Protocol)
		at := d.home(&k)
		for d.slots[at].service.Load() != nil {
			at = (at + 1) % len(d.slots)
		}
		d.slots[at].key = k
		d.slots[at].service.Store(s)
	}
	return d
}

// home returns where the search for a key begins. Nobody but who configures services chooses what
// lies there, so that no packet can make searches long.
func (d *directory) home(k *wireKey) int {
	rest := uint64(k.port)<<16 | uint64(k.protocol)<<8
	if k.v6 {
		rest |= 1
	}
	high, low := bits.Mul64(binary.LittleEndian.Uint64(k.addr[:])^0x9e3779b97f4a7c15,
		binary.LittleEndian.Uint64(k.addr[8:])^rest<<24^0xbf58476d1ce4e5b9)
	return int((high ^ low) & uint64(len(d.slots)-1))
}

// find returns the service of a key, nil if there is none.
func (d *directory) find(k *wireKey) *service {
	for at := d.home(k); ; at = (at + 1) & (len(d.slots) - 1) {
		if s := d.slots[at].service.Load(); s == nil || d.slots[at].key == *k {
			return s
		}
	}
}

// touch asks for the memory where a search begins.
func (d *directory) touch(k *wireKey) { d.slots[d.home(k)].service.Load() }
