package sched

// destinationHashing gives a virtual address the same server each time (ip_vs_dh.c), which
// is of use to services of many addresses: caches. Weights do not count but for 0.
type destinationHashing struct {
	unwatched
	list []Server
}

func (d *destinationHashing) Name() string         { return "dh" }
func (d *destinationHashing) Update(list []Server) { d.list = list }

// Pick does without the kernel's table of 256 buckets, which is filled by going round the list.
func (d *destinationHashing) Pick(r Request) int {
	if len(d.list) == 0 {
		return none
	}
	i := int(shHash(End{Addr: Fold(&r.Virtual)})) % len(d.list)
	if !available(d.list[i]) {
		return none
	}
	return i
}
