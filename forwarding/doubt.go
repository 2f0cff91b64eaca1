package forwarding

import (
	"net/netip"
	"time"

	"uvs/internal/mono"
	"uvs/internal/wire"
)

const (
	// doubtEvery is the least time between two doubts about one neighbour: the kernel asks
	// it three times, a second apart, before it gives it up.
	doubtEvery = 5 * time.Second
	// doubtsKept is how many neighbours' last doubt is remembered.
	doubtsKept = 16
)

// A doubter notices neighbours whose frames come from another MAC than ours go to: a router
// or server that was replaced and told nobody. The kernel would believe its entry for
// another half minute or longer, as it never sees that our frames are lost. It belongs to
// one worker.
type doubter [doubtsKept]doubt

type doubt struct {
	addr netip.Addr
	link int
	at   mono.Time
}

// notice compares where a frame came from with where an answer to it would go, and reports
// whether the kernel should ask the neighbour. Where requests come from one router and
// answers go to another this is so for ever, and costs three packets every doubtEvery.
func (d *doubter) notice(hop *NextHop, from wire.MAC, link int, now mono.Time) bool {
	if hop.Dst == from || hop.Link != link || !hop.Resolved() || from.IsZero() {
		return false
	}
	oldest := 0
	for i := range d {
		x := &d[i]
		if x.addr == hop.Addr && x.link == hop.Link {
			if now.Sub(x.at) < doubtEvery {
				return false
			}
			x.at = now
			return true
		}
		if x.at < d[oldest].at {
			oldest = i
		}
	}
	d[oldest] = doubt{hop.Addr, hop.Link, now}
	return true
}
