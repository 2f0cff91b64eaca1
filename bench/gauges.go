package main

import "time"

// gauges are what is read before and after a measurement, or by how much that grew.
type gauges struct {
	own           counters // the contender's
	kernel        uint64   // datagrams that the kernel forwarded
	retransmitted uint64
	cpu           cpuTimes
}

func (g gauges) since(before gauges) gauges {
	return gauges{
		own: g.own.since(before.own), kernel: g.kernel - before.kernel,
		retransmitted: g.retransmitted - before.retransmitted, cpu: g.cpu.since(before.cpu),
	}
}

// cpuTimes are CPU times since the machine started, or in between, in ticks.
type cpuTimes struct {
	busy, steal, total uint64
	// each is the busy time of each CPU.
	each []uint64
}

// part returns which part of all CPUs' time was used, and which part the hypervisor gave to
// others.
func (t cpuTimes) part() (busy, steal float64) {
	if t.total == 0 {
		return 0, 0
	}
	return float64(t.busy) / float64(t.total), float64(t.steal) / float64(t.total)
}

// tick is the unit of /proc/stat: USER_HZ is 100 on every machine that Linux runs on but for
// alpha and ia64.
const tick = 10 * time.Millisecond

// used returns the busy time of all CPUs.
func (t cpuTimes) used() time.Duration { return time.Duration(t.busy) * tick }

// usedBy returns the busy time of one CPU.
func (t cpuTimes) usedBy(cpu int) time.Duration {
	if cpu >= len(t.each) {
		return 0
	}
	return time.Duration(t.each[cpu]) * tick
}

func (t cpuTimes) since(before cpuTimes) cpuTimes {
	grown := cpuTimes{busy: t.busy - before.busy, steal: t.steal - before.steal, total: t.total - before.total}
	for i := range min(len(t.each), len(before.each)) {
		grown.each = append(grown.each, t.each[i]-before.each[i])
	}
	return grown
}
