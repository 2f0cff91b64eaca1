package forwarding

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"uvs/conntrack"
	"uvs/internal/mono"
)

// Defences against floods: drop_entry ends flows that floods leave, drop_packet drops some of
// the packets that would open one, and secure_tcp has TCP follow another state table. Each is 0,
// off; 1, on as long as the machine has little memory left, and then it reads 2; or 3, always on.

// defendEvery is how often they are looked at (DEFENSE_TIMER_PERIOD in
// net/netfilter/ipvs/ip_vs_ctl.c).
const defendEvery = time.Second

// Modes of a defence.
const (
	defenceReady  = 1
	defenceActive = 2
	defenceAlways = 3
)

// A defence is what is in force.
type defence struct {
	dropEntry, secureTCP bool
	dropRate             int // one in so many packets that would open a flow is dropped; 0: none
}

// defend returns the settings, and what they mean while so many pages of memory are free
// (update_defense_level).
func (s Sysctls) defend(free int) (Sysctls, defence) {
	scarce := free < s.Amemthresh
	mode := func(at *int) (active bool) {
		if *at == defenceReady || *at == defenceActive {
			if *at = defenceReady; scarce {
				*at = defenceActive
			}
		}
		return *at >= defenceActive
	}
	var d defence
	d.dropEntry, d.secureTCP = mode(&s.DropEntry), mode(&s.SecureTCP)
	switch {
	case !mode(&s.DropPacket):
	case s.DropPacket == defenceAlways:
		d.dropRate = s.AmDroprate
	default:
		d.dropRate = s.Amemthresh / (s.Amemthresh - free) // the scarcer, the more
	}
	return s, d
}

// A defender keeps defences in force.
type defender struct {
	free    func() int   // Config.FreePages; nil: there is always enough
	rate    atomic.Int32 // of drop_packet
	counter atomic.Int32 // packets until the next one is dropped

	// What follows is housekeeping's alone.
	thinner conntrack.Thinner
}

// defend brings the defences in line with settings and memory, and does what drop_entry does
// each second (defense_work_handler). It returns how many flows it ended.
func (e *Engine) defend(now mono.Time) (ended int) {
	if d := e.judgeMemory(); d.dropEntry {
		ended = e.flows.Thin(&e.defender.thinner, now, rand.IntN)
	}
	return ended
}

// judgeMemory brings drop_packet and secure_tcp in line with settings and memory. Settings that
// somebody else changes meanwhile stay as he wants them, and are judged at the next turn.
func (e *Engine) judgeMemory() defence {
	free := maxPages
	if e.defender.free != nil {
		free = e.defender.free()
	}
	was := e.sysctls.Load()
	next, d := was.defend(free)
	if next != *was {
		e.sysctls.CompareAndSwap(was, &next)
	}
	if rate := int32(min(d.dropRate, maxPages)); e.defender.rate.Swap(rate) != rate {
		e.defender.counter.Store(rate)
	}
	e.flows.SetSecureTCP(d.secureTCP)
	return d
}

// maxPages is more memory than amemthresh can ask for.
const maxPages = 1<<31 - 1

// sheds reports whether a packet that would open a flow is the one in so many that is dropped
// (ip_vs_todrop).
func (x *defender) sheds() bool {
	rate := x.rate.Load()
	if rate == 0 || x.counter.Add(-1) > 0 {
		return false
	}
	x.counter.Store(rate)
	return true
}
