package sched

// shBuckets is IP_VS_SH_TAB_SIZE.
const shBuckets = 256

// sourceHashing gives a client the same server each time (ip_vs_sh.c): a table of 256
// buckets is filled with the servers in turn, each as often as its weight, and a hash of the
// client chooses the bucket.
type sourceHashing struct {
	unwatched
	flags   Flags
	list    []Server
	buckets [shBuckets]int32 // indexes of list; all none if that is empty
}

func (s *sourceHashing) Name() string { return "sh" }

// Update fills the buckets. A server of weight 0 gets one bucket a round like one of weight
// 1, as in the kernel, and is passed over by Pick.
func (s *sourceHashing) Update(list []Server) {
	s.list = list
	at, times := 0, 0
	for i := range s.buckets {
		if len(list) == 0 {
			s.buckets[i] = none
			continue
		}
		s.buckets[i] = int32(at)
		if times++; times >= list[at].Weight() {
			at, times = (at+1)%len(list), 0
		}
	}
}

func (s *sourceHashing) Pick(r Request) int {
	client := r.Client
	if len(s.list) == 0 {
		return none
	}
	if s.flags&Port == 0 {
		client.Port = 0
	}
	bucket := shHash(client)
	if i := s.buckets[bucket]; available(s.list[i]) {
		return int(i)
	}
	if s.flags&Fallback == 0 {
		return none
	}
	// The offset is added to the hash again, as ip_vs_sh_get_fallback does.
	for offset := range uint32(shBuckets) {
		around := (offset + bucket) % shBuckets
		if i := s.buckets[(around+bucket)%shBuckets]; available(s.list[i]) {
			return int(i)
		}
	}
	return none
}

// goldenRatio is GOLDEN_RATIO_32 (include/linux/hash.h).
const goldenRatio = 0x61c88647

// shHash is ip_vs_sh_hashkey: hash_32 of address plus port to eight bits.
func shHash(e End) uint32 { return (e.Addr + uint32(e.Port)) * goldenRatio >> 24 }
