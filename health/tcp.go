package health

import (
	"context"
	"time"

	"uvs/internal/mono"
)

// stepTCP is the machine of checkers that have one question to ask. While TCP and SMTP are
// down, the retry count goes on in circles: Retry probes DelayBeforeRetry apart, then one
// DelayLoop, in silence; the others only have DelayLoop then. keepalived 2.2.7,
// check/check_tcp.c, tcp_epilog, and udp_epilog, ping_epilog, dns_final and smtp_final.
func (m *Machine) stepTCP(now mono.Time, o Outcome) (delay time.Duration, ev []Event) {
	first := !m.ran
	m.ran = true

	if o.Verdict == Success {
		if !m.up || first {
			ev = append(ev, m.event(CheckSucceeded, now, m.succeededMessage()))
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
			m.transport()+" connection to "+m.key.Server+" "+word+"."))
	}
	circles := m.check.Kind == TCP || m.check.Kind == SMTP
	if m.fails < m.check.Retry && (m.up || circles) {
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

// succeededMessage is the line of a checker that comes up.
func (m *Machine) succeededMessage() string {
	switch m.check.Kind {
	case SMTP:
		return "Remote SMTP server " + m.key.Server + " succeed on service."
	case DNS:
		return "DNS_CHECK of " + m.key.Server + " success."
	case VIP:
		return "check_vip of " + m.key.Server + " success: it answers for " + m.check.Target.String() + "."
	}
	return m.transport() + " connection to " + m.key.Server + " success."
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
