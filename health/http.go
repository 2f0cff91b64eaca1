package health

import (
	"fmt"
	"time"

	"uvs/internal/mono"
)

// stepHTTP is the machine of checkers that ask for several urls in turn. The url that
// took the checker down must answer before the others are asked again, and then all of
// them must answer in one round. keepalived 2.2.7, check/check_http.c, epilog and
// timeout_epilog.
func (m *Machine) stepHTTP(now mono.Time, o Outcome) (delay time.Duration, ev []Event) {
	ev = m.noteLength(now, o)
	if o.Verdict == Success {
		return m.stepURLPassed(now, ev)
	}
	return m.stepURLFailed(now, o, ev)
}

func (m *Machine) stepURLPassed(now mono.Time, ev []Event) (time.Duration, []Event) {
	if !m.up {
		u, what := m.check.url(m.url), "HTTP status code"
		if u.Digest != (Digest{}) {
			what = "MD5 digest"
		}
		ev = append(ev, m.event(Note, now,
			fmt.Sprintf("%s success to %s url(%s)", what, m.key.Server, u.Path)))
	}
	m.fails, m.backoff = 0, 0
	if m.up {
		m.since = 0
	}

	switch {
	case m.failed >= 0: // the culprit is back: now all of them
		m.failed, m.url = -1, 0
	case m.url+1 < len(m.check.URLs):
		m.url++
	default:
		m.url = 0
		if !m.up || !m.ran {
			m.up, m.ran = true, true
			m.markSuccess()
			ev = append(ev, m.event(CheckSucceeded, now,
				"Remote Web server "+m.key.Server+" succeed on service."))
		}
	}
	if !m.ran {
		m.fails = m.check.Retry
	}
	if m.check.FastRecovery && (!m.ran || !m.up) {
		return MinGap, ev
	}
	return m.check.delayLoop(), ev
}

func (m *Machine) stepURLFailed(now mono.Time, o Outcome, ev []Event) (time.Duration, []Event) {
	m.markFailure(now)
	if m.up || !m.ran {
		m.ran = true
		if m.check.LogAllFailures {
			ev = append(ev, m.trouble(ProbeFailed, now, o,
				fmt.Sprintf("%v server %s.", o.Reason, m.key.Server)))
		}
		if m.fails++; m.fails > m.check.Retry {
			m.failed = m.url
			if m.up {
				m.up = false
				// The line counts retries even when the first probe ever has
				// failed and there were none: so does keepalived's.
				ev = append(ev, m.trouble(CheckFailed, now, o, m.failedMessage(true)))
			}
		}
	}
	if m.failed >= 0 {
		return max(m.check.DelayBeforeRetry, m.check.delayLoop()), ev
	}
	// Up with retries left, or down in a round that one url spoils. For the latter
	// keepalived waits nothing at all with fast_recovery: see retryDelay.
	return m.retryDelay(), ev
}

// noteLength tells when an answer's length differs from its Content-Length, once for
// each difference and url. It is no failure.
func (m *Machine) noteLength(now mono.Time, o Outcome) []Event {
	diff := o.Announced - o.Received
	if m.mismatch == nil {
		if diff == 0 {
			return nil
		}
		m.mismatch = make([]int64, max(len(m.check.URLs), 1))
	}
	if m.mismatch[m.url] == diff {
		return nil
	}
	m.mismatch[m.url] = diff
	if diff == 0 {
		return nil
	}
	u := m.check.url(m.url)
	return []Event{m.event(Note, now, fmt.Sprintf("http_check for RS %s VS %s url %s%s:"+
		" content_length (%d) does not match received bytes (%d)",
		m.key.Server, m.key.Service, u.VirtualHost, u.Path, o.Announced, o.Received))}
}
