package health

import (
	"fmt"
	"time"

	"uvs/internal/mono"
)

// A Machine decides for one checker. It is owned by one goroutine and does nothing by
// itself: its owner does the probe that [Machine.Pending] names, and passes the outcome
// to [Machine.Step], which says when the next one is due.
//
// The rules are those of keepalived 2.2.7: check/check_tcp.c, check_http.c and their like.
type Machine struct {
	key   Key
	check *Check

	up      bool  // as the table counts it: before the first probe too
	ran     bool  // has a verdict of its own
	backoff uint8 // doublings of the gap while down and failing

	weight weight // what it makes of the server's

	url    int // the url to probe next
	failed int // the url that took the checker down and has not answered since, or -1
	fails  int // failed probes in a row that count towards Retry

	since    mono.Time // end of the first failed probe of this trouble; 0 = no trouble
	mismatch []int64   // per url: the last difference from Content-Length that was noted
}

// NewMachine returns the machine of a checker that has never run. The machine keeps c
// and never writes to it.
func NewMachine(k Key, c *Check) *Machine {
	m := newMachine(k, c, !c.Alpha)
	return &m
}

func newMachine(k Key, c *Check, up bool) Machine {
	// The first failure of all finds the retries used up, so that a server that was
	// never seen alive is out at once.
	return Machine{key: k, check: c, up: up, failed: -1, fails: c.Retry}
}

// Up reports whether the checker counts as up.
func (m *Machine) Up() bool { return m.up }

// Pending returns the probe that is to be done next.
func (m *Machine) Pending() Step { return Step{Check: m.check, URL: m.url} }

// Start returns what there is to tell of a checker that begins. When its first probe is
// due is the caller's business: StartDelay and a random part of the check's Warmup later,
// so that the checkers of one server do not march in step, or sooner with Prompt.
func (m *Machine) Start(now mono.Time) []Event {
	return []Event{m.event(Activated, now,
		"Activating healthchecker for service "+m.key.Server+" for VS "+m.key.Service)}
}

// Step takes the outcome of the pending probe, which ended at now, and returns when the
// next probe is due, and what there is to tell: nothing in the steady state. The slice
// is the caller's.
func (m *Machine) Step(now mono.Time, o Outcome) (next mono.Time, ev []Event) {
	var delay time.Duration
	switch {
	case o.Verdict == Rescheduled:
		delay, ev = m.check.delayLoop(), []Event{m.trouble(Note, now, o, m.rescheduled(o))}
	case m.check.Kind == HTTP:
		delay, ev = m.stepHTTP(now, o)
	case m.check.Kind == Misc:
		delay, ev = m.stepMisc(now, o)
	default:
		delay, ev = m.stepTCP(now, o)
	}
	return now.Add(max(delay, MinGap)), ev
}

// rescheduled returns the line for a probe that our own side could not do.
func (m *Machine) rescheduled(o Outcome) string {
	switch socket := o.Reason == NoSocket; {
	case m.check.Kind == HTTP && socket:
		return "WEB connection fail to create socket. Rescheduling."
	case m.check.Kind == HTTP:
		return "WEB socket bind failed. Rescheduling"
	case m.check.Kind == Misc:
		return fmt.Sprintf("Misc check by [%s] could not be run. Rescheduling.", m.check.Program.name())
	case socket:
		return m.transport() + " connect fail to create socket. Rescheduling."
	}
	return m.transport() + " socket bind failed. Rescheduling."
}

// retryDelay is the wait after a failure where keepalived waits delay_before_retry.
// While up that is all there is to it, but for MinGap. While down, keepalived has no
// bound on how often it repeats this, so a delay below MinGap doubles each time.
func (m *Machine) retryDelay() time.Duration {
	delay := m.check.DelayBeforeRetry
	if delay >= MinGap || m.up {
		return delay
	}
	loop := m.check.delayLoop()
	if delay = MinGap << m.backoff; delay >= loop {
		return loop // and no more doublings: the shift cannot overflow
	}
	m.backoff++
	return delay
}

// markFailure remembers when the trouble began.
func (m *Machine) markFailure(now mono.Time) {
	if m.since == 0 {
		m.since = now
	}
}

// markSuccess forgets the trouble that there was.
func (m *Machine) markSuccess() {
	m.fails, m.backoff, m.since = 0, 0, 0
}

// transport is the protocol of a checker's socket, as messages call it.
func (m *Machine) transport() string {
	switch m.check.Kind {
	case UDP, DNS:
		return "UDP"
	case Ping:
		return "ICMP"
	case SMTP:
		return "SMTP_CHECK"
	case VIP:
		return "check_vip"
	}
	return "TCP"
}

// failedMessage is the line of a checker that goes down.
func (m *Machine) failedMessage(retried bool) string {
	word := m.check.Kind.String()
	switch m.check.Kind {
	case HTTP:
		word = "HTTP_CHECK"
	case Ping:
		word = "ICMP CHECK"
	}
	if retried && m.check.Retry > 0 {
		return fmt.Sprintf("%s on service %s failed after %d retries.",
			word, m.key.Server, m.check.Retry)
	}
	return fmt.Sprintf("%s on service %s failed.", word, m.key.Server)
}

func (m *Machine) event(k EventKind, now mono.Time, msg string) Event {
	return Event{Kind: k, Key: m.key, Time: now, Message: msg}
}

// trouble is an event that comes from a probe that did not succeed.
func (m *Machine) trouble(k EventKind, now mono.Time, o Outcome, msg string) Event {
	e := m.event(k, now, msg)
	e.Since, e.Reason = m.since, o.Detail()
	return e
}
