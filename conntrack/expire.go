package conntrack

import "uvs/internal/mono"

// slice is how many entries Expire looks at while it holds one lock.
const slice = 128

// Expire ends flows and templates whose time is over at now. It looks at no more than about
// budget entries, beginning with another shard at each call, passes over a shard that is
// in use, and returns how many ended. What is left is due at the next call. It costs a few
// ns when nothing is due, never goes through the whole table, and is meant to be called by
// every worker once per round of its loop.
func (t *Table) Expire(now mono.Time, budget int) (expired int) {
	target := tickOf(now)
	if t.swept.Load() > target || budget <= 0 {
		return 0
	}
	all := true
	turn := int(t.turn.Add(1) % uint32(len(t.shards)))
	for i := range t.shards {
		s := &t.shards[(turn+i)%len(t.shards)]
		if s.wheel.next.Load() > target {
			continue
		}
		if budget <= 0 || !s.mu.TryLock() {
			all = false
			continue
		}
		looked, ended, done := t.expire(s, target, min(budget, slice))
		s.mu.Unlock()
		budget -= looked
		expired += ended
		all = all && done
	}
	if all {
		t.swept.Store(target + 1)
	}
	return expired
}

// expire works off ticks up to and including target, looking at no more than budget
// entries, and returns how many it looked at and how many flows ended. done says that no
// tick up to target is left. The shard's lock is held.
func (t *Table) expire(s *shard, target uint32, budget int) (looked, ended int, done bool) {
	w := &s.wheel
	if s.live+s.superseded == 0 {
		w.next.Store(target + 1)
		return 0, 0, true
	}
	for now := w.next.Load(); now <= target; now = w.next.Load() {
		for level := levels; level >= 0; level-- {
			l, ok := listAt(now, level)
			if !ok {
				continue
			}
			for w.lists[l] != 0 {
				if looked == budget {
					return looked, ended, false
				}
				looked++
				if t.look(s, w.lists[l], target) {
					ended++
				}
			}
		}
		w.next.Store(w.skip(now+1, target+1))
	}
	return looked, ended, true
}

// look ends the flow or template if its time is over at target and files its entry anew
// otherwise. One whose flows are alive gets more time (ip_vs_conn_expire).
func (t *Table) look(s *shard, ref, target uint32) (ended bool) {
	h := s.head(ref)
	if h.deadline <= target && t.holds(h) {
		h.deadline = target + ticksOf(controlledTimeout)
	}
	if h.deadline <= target {
		t.remove(s, ref, h)
		return true
	}
	s.unfile(h)
	s.file(ref, h)
	return false
}
