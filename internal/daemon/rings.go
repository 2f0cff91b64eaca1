package daemon

import (
	"fmt"
	"math/bits"
	"slices"

	"uvs/forwarding/afpacket"
)

// The memory for receive rings and buffers: a sixteenth of what there is, and no more than
// 256 MiB. Longer rings take up longer bursts; beyond that they only add latency.
const (
	ringFraction = 16
	ringMost     = 256 << 20
)

// ringsPlanned is how many captured interfaces share the memory at the least: a director
// with two arms should not have to divide it anew when the second one comes up.
const ringsPlanned = 2

// A ringBudget bounds the memory of all receive rings together.
type ringBudget struct {
	bytes  uint64
	source string // for people
}

// newRingBudget returns what was asked for, or what memory allows.
func newRingBudget(asked uint64, m memory) ringBudget {
	if asked > 0 {
		return ringBudget{asked, "--ring-memory"}
	}
	if part := m.bytes / ringFraction; part < ringMost {
		return ringBudget{part, fmt.Sprintf("1/%d of %s", ringFraction, m.source)}
	}
	return ringBudget{ringMost, fmt.Sprintf("at most %d MiB", ringMost>>20)}
}

// ringShare returns what one of a number of captured interfaces may take, all workers
// together. It changes only when the number passes a power of two. One share more than
// there are interfaces stays free, so that all of them can be replaced by smaller ones, one
// after the other, within the budget.
func ringShare(budget uint64, interfaces int) int {
	n := max(interfaces, ringsPlanned)
	shares := 1<<bits.Len(uint(n-1)) + 1
	return int(min(budget/uint64(shares), 1<<40))
}

// A ringPlan is a way for the frames of one interface to come in.
type ringPlan struct {
	shape     afpacket.Shape
	receivers int    // workers that receive from the interface; the others only send
	memory    int    // bytes for each of them
	reason    string // why not another way, empty if there is nothing to tell
}

// planRings returns the ways for an interface to receive within its share of the memory,
// the preferred one first and the others for the case that it cannot be opened. asked is
// --io; maxFrame is the length of the interface's longest frame. Without anything that
// fits, there is no plan.
//
// Left alone, it is TPACKET_V2 if every worker gets 1 MiB or more; then
// TPACKET_V3, whose frames take what they need, on as many workers as it fits; then short
// slots without virtio_net_hdr, for which the offloads of the interface must be off.
func planRings(asked string, share, workers, maxFrame int) []ringPlan {
	workers = max(workers, 1)
	order := []afpacket.Shape{
		{Receive: afpacket.TPacketV2, MaxFrame: maxFrame},
		{Receive: afpacket.TPacketV3},
		{Receive: afpacket.RecvMMsg},
		{Receive: afpacket.TPacketV2, Plain: true, MaxFrame: maxFrame},
		{Receive: afpacket.RecvMMsg, Plain: true, MaxFrame: maxFrame},
	}
	var plans []ringPlan
	reason := ""
	add := func(s afpacket.Shape, least int) {
		p, ok := fit(s, share, workers, least)
		if !ok {
			if reason == "" {
				reason = fmt.Sprintf("%s does not fit %s", name(s), mebibytes(share))
			}
			return
		}
		p.reason = reason
		if p.receivers < workers {
			p.reason = join(p.reason, fmt.Sprintf("%d of %d workers receive, which is what fits %s", p.receivers, workers, mebibytes(share)))
		}
		plans = append(plans, p)
	}
	if asked == ioAuto || asked == ioAFXDP {
		// A ring that only some workers can have is worse than a smaller one for all.
		add(order[0], workers*order[0].Good())
		order = order[1:]
	}
	slices.SortStableFunc(order, func(a, b afpacket.Shape) int { return closeness(b, asked) - closeness(a, asked) })
	for _, s := range order {
		if closeness(s, asked) > 0 || s.Plain {
			add(s, s.Least())
		} else {
			add(s, s.Good())
		}
	}
	return plans
}

// ioAuto is the word of --io for the best that fits.
const ioAuto = "auto"

// ioAFXDP is the word of --io for AF_XDP beside the best that fits.
const ioAFXDP = "afxdp"

// closeness is 2 for what --io asks for, 1 for what is like it, else 0.
func closeness(s afpacket.Shape, asked string) int {
	switch {
	case name(s) == asked:
		return 2
	case s.Plain && asked == name(afpacket.Shape{Receive: afpacket.TPacketV2, Plain: true}):
		return 1
	}
	return 0
}

// name is --io's word for a shape.
func name(s afpacket.Shape) string {
	switch {
	case s.Plain && s.Receive == afpacket.TPacketV2:
		return "plain"
	case s.Plain:
		return "plain " + s.Receive.String()
	case s.Receive == afpacket.TPacketV2:
		return "v2"
	case s.Receive == afpacket.TPacketV3:
		return "v3"
	}
	return s.Receive.String()
}

// fit divides a share of some least size between workers: as many of them as get enough for
// a good ring, or one with what there is.
func fit(s afpacket.Shape, share, workers, least int) (ringPlan, bool) {
	if share < least {
		return ringPlan{}, false
	}
	receivers := max(min(workers, share/s.Good()), 1)
	return ringPlan{shape: s, receivers: receivers, memory: min(share/receivers, s.Most())}, true
}

// bytes returns the most that the interface's rings take.
func (p ringPlan) bytes() int { return p.receivers * p.memory }

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// mebibytes prints a size of memory.
func mebibytes(n int) string {
	if n >= 10<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
