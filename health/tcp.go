package health

import (
	"context"
	"time"

	"uvs/internal/mono"
)

// stepTCP is the machine of checkers that have one question to ask. While down, the
// retry count goes on in circles: Retry probes DelayBeforeRetry apart, then one
// DelayLoop, in silence. keepalived 2.2.7, check/check_tcp.c, tcp_epilog.
func (m *Machine) stepTCP(now mono.Time, o Outcome) (delay time.Duration, ev []Event) {
	first := !m.ran
	m.ran = true

	if o.Verdict == Success {
		if !m.up || first {
			ev = append(ev, m.event(CheckSucceeded, now,
				"TCP connection to "+m.key.Server+" success."))
		}
		m.up = true
		m.markSuccess()
		return m.check.delayLoop(), ev
	}

	m.markFailure(now)
	if m.up && m.check.LogAllFailures {
		word := "failed"
		if o.Reason == ConnectTimeout {
			word = "timeout"
		}
		ev = append(ev, m.trouble(ProbeFailed, now, o,
			"TCP connection to "+m.key.Server+" "+word+"."))
	}
	if m.fails < m.check.Retry {
		m.fails++
		return m.retryDelay(), ev
	}
	m.fails = 0
	if m.up || first {
		m.up = false
		ev = append(ev, m.trouble(CheckFailed, now, o, m.failedMessage(!first)))
	}
	return m.check.delayLoop(), ev
}

// probeTCP connects and closes again. The handshake is all it wants; nothing is read or
// written, so the close is a FIN, or a RST if the server has spoken first.
func probeTCP(ctx context.Context, c *Check) Outcome {
	conn, o := dial(ctx, c)
	if conn != nil {
		conn.Close()
	}
	return o
}
