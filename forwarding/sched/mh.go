package sched

import (
	"math/bits"
)

const (
	mhSlots      = 4093 // IP_VS_MH_TAB_SIZE: the prime of CONFIG_IP_VS_MH_TAB_INDEX 12
	mhWeightBits = 6    // a share of more bits is cut: half of the table's index
)

// The keys of the two hashes (ip_vs_mh.c).
const (
	mhOffsetKey = 2654435761
	mhSkipKey   = 2654446892
)

// maglevHashing gives a client the same server each time and moves few clients when servers
// come and go (ip_vs_mh.c; Eisenbud et al., "Maglev", NSDI 2016, Section 3.4). Every machine
// hashes as 64-bit kernels do: directors that are to agree with a 32-bit kernel do not.
type maglevHashing struct {
	unwatched
	flags Flags
	list  []Server
	slots []int16 // indexes of list, mhSlots of them; nil without servers
}

func (m *maglevHashing) Name() string { return "mh" }

// Update fills the table: the servers take turns, each as often as its share, in taking the
// next free slot of their own permutation. The share is that of the last weight that was
// not 0, so a server that is quiesced keeps its slots and the others' clients stay.
func (m *maglevHashing) Update(list []Server) {
	m.list = list
	m.slots = m.slots[:0]
	walks := make([]walk, len(list))
	left := 0
	divisor, shift := mhShare(list)
	for i, s := range list {
		walks[i] = newWalk(s, divisor, shift)
		left += walks[i].turns
	}
	if left == 0 {
		return
	}
	for range mhSlots {
		m.slots = append(m.slots, none)
	}
	taken, at, turn := 0, 0, 0
	for taken < mhSlots {
		w := &walks[at]
		if turn < w.turns {
			m.slots[w.next(m.slots)] = int16(at)
			taken++
			turn++
		}
		if turn >= w.turns {
			at, turn = (at+1)%len(walks), 0
		}
	}
}

// mhShare returns what weights are divided by and shifted by to make shares.
func mhShare(list []Server) (divisor, shift int) {
	greatest := 0
	for _, s := range list {
		divisor = gcd(divisor, s.LastWeight())
		greatest = max(greatest, s.LastWeight())
	}
	if divisor == 0 {
		return 1, 0
	}
	return divisor, max(0, bits.Len(uint(greatest/divisor))-mhWeightBits)
}

// A walk goes through a server's permutation of the slots.
type walk struct {
	at, skip uint32
	turns    int // slots it takes in a round
}

func newWalk(s Server, divisor, shift int) walk {
	e := s.End()
	w := walk{at: mhHash(e, mhOffsetKey, 0) % mhSlots, skip: mhHash(e, mhSkipKey, 0)%(mhSlots-1) + 1}
	if last := s.LastWeight(); last != 0 {
		w.turns = max(1, last/divisor>>shift)
	}
	return w
}

// next returns the next slot of the permutation that is free.
func (w *walk) next(slots []int16) uint32 {
	for slots[w.at] != none {
		if w.at += w.skip; w.at >= mhSlots {
			w.at -= mhSlots
		}
	}
	return w.at
}

func (m *maglevHashing) Pick(r Request) int {
	client := r.Client
	if len(m.slots) == 0 {
		return none
	}
	if m.flags&Port == 0 {
		client.Port = 0
	}
	slot := mhHash(client, mhOffsetKey, 0) % mhSlots
	if i := m.slots[slot]; available(m.list[i]) {
		return int(i)
	}
	if m.flags&Fallback == 0 {
		return none
	}
	for offset := range uint32(mhSlots) {
		again := mhHash(client, mhOffsetKey, (offset+slot)%mhSlots) % mhSlots
		if i := m.slots[again]; available(m.list[i]) {
			return int(i)
		}
	}
	return none
}

// mhHash is ip_vs_mh_hashkey: hsiphash of one word, which on 64-bit machines is SipHash-1-3
// with both words of the key the same, cut to 32 bits.
func mhHash(e End, key uint64, offset uint32) uint32 {
	v := [4]uint64{0x736f6d6570736575 ^ key, 0x646f72616e646f6d ^ key, 0x6c7967656e657261 ^ key, 0x7465646279746573 ^ key}
	b := uint64(4)<<56 | uint64(offset+uint32(e.Port)+e.Addr)
	v[3] ^= b
	sipRound(&v)
	v[0] ^= b
	v[2] ^= 0xff
	for range 3 {
		sipRound(&v)
	}
	return uint32(v[0] ^ v[1] ^ v[2] ^ v[3])
}

// sipRound is SIPROUND (Aumasson and Bernstein, "SipHash", Section 2).
func sipRound(v *[4]uint64) {
	v[0] += v[1]
	v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
	v[0] = bits.RotateLeft64(v[0], 32)
	v[2] += v[3]
	v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
	v[0] += v[3]
	v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
	v[2] += v[1]
	v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
	v[2] = bits.RotateLeft64(v[2], 32)
}
