package hostnet

import (
	"time"

	"uvs/internal/mono"
)

const (
	// settle is how long the first change after silence waits for its companions: setting a
	// device up, say, is a dozen messages within a fraction of it.
	settle = 2 * time.Millisecond
	// minInterval keeps a storm of events to 20 snapshots a second.
	minInterval = 50 * time.Millisecond
	// recheckAfter is when routes are dumped once more after an event that makes the kernel
	// drop some silently: it announces the cause before it carries out the consequence.
	recheckAfter = 250 * time.Millisecond
)

// A pace decides when a watcher's next publication is due. The zero pace has none due.
type pace struct {
	last mono.Time // of the last publication
	due  mono.Time // 0: nothing to publish
	// recheck is when stale routes are to be dumped once more, 0: not at all.
	recheck mono.Time
}

// touch notes at now that there is something to publish.
func (p *pace) touch(now mono.Time) {
	if p.due == 0 {
		p.due = max(now.Add(settle), p.last.Add(minInterval))
	}
}

// unsettled notes at now that the kernel may yet change routes silently.
func (p *pace) unsettled(now mono.Time) { p.recheck = now.Add(recheckAfter) }

// next returns when to act, and 0 if there is nothing to wait for.
func (p *pace) next() mono.Time {
	if p.due == 0 || p.recheck != 0 && p.recheck < p.due {
		return p.recheck
	}
	return p.due
}

// rechecking reports whether the time for another dump has come, and takes it off.
func (p *pace) rechecking(now mono.Time) bool {
	if p.recheck == 0 || now < p.recheck {
		return false
	}
	p.recheck = 0
	return true
}

// publishing reports whether the time for a publication has come, and takes it off.
func (p *pace) publishing(now mono.Time) bool {
	if p.due == 0 || now < p.due {
		return false
	}
	p.last, p.due = now, 0
	return true
}
