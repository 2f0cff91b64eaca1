package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"uvs/internal/mono"
)

// errNoPrograms is what Misc checkers meet where nobody runs programs.
var errNoPrograms = errors.New("programs are not run here")

// probeMisc runs a program.
func (n NetProber) probeMisc(ctx context.Context, c *Check) Outcome {
	if n.Run == nil {
		return Outcome{Verdict: Rescheduled, Reason: NoSocket, Err: errNoPrograms}
	}
	began := mono.Now()
	exit, err := n.Run(ctx, &c.Program)
	o := Outcome{Began: began}
	switch {
	case ctx.Err() != nil:
		return Outcome{Verdict: Rescheduled, Reason: Canceled, Err: ctx.Err()}
	case err != nil:
		o.Reason, o.Err = ExitStatus, err
	case exit.TimedOut:
		o.Reason, o.Err = Killed, errors.New("timed out")
	case exit.Signal != 0:
		o.Reason, o.Code, o.Err = Killed, exit.Signal, fmt.Errorf("due to signal %d", exit.Signal)
	case exit.Status == 0 || c.Dynamic && exit.Status >= leastDynamic:
		o.Verdict, o.Code = Success, exit.Status
	default:
		o.Reason, o.Code, o.Err = ExitStatus, exit.Status, fmt.Errorf("exited with status %d", exit.Status)
	}
	return o
}

// leastDynamic is the exit status of a program with misc_dynamic that sets the weight to 0; each
// above sets one more.
const leastDynamic = 2

// stepMisc is the machine of checkers that run a program. Its period counts from the program's
// start. keepalived 2.2.7, check/check_misc.c, misc_check_child_thread.
func (m *Machine) stepMisc(now mono.Time, o Outcome) (delay time.Duration, ev []Event) {
	first := !m.ran
	m.ran = true
	from := func(gap time.Duration) time.Duration {
		if o.Began == 0 {
			return gap
		}
		return o.Began.Add(gap).Sub(now)
	}
	subject := fmt.Sprintf("Misc check for [%s VS %s] by [%s]", m.key.Server, m.key.Service, m.check.Program.name())
	if o.Verdict == Success {
		if m.check.Dynamic && o.Code >= leastDynamic {
			m.weight = weight{set: true, value: o.Code - leastDynamic}
		}
		if !m.up || first {
			ev = append(ev, m.event(CheckSucceeded, now, subject+" succeeded"))
		}
		m.up = true
		m.markSuccess()
		return from(m.check.delayLoop()), ev
	}
	m.markFailure(now)
	if m.up || first {
		if m.fails < m.check.Retry {
			if m.check.LogAllFailures {
				ev = append(ev, m.trouble(ProbeFailed, now, o, subject+" failed"))
			}
			m.fails++
			return from(m.retryDelay()), ev
		}
		word := "failed"
		if o.Reason == Killed && o.Code == 0 {
			word = "timed out"
		}
		if m.check.Retry > 0 && !first {
			word += fmt.Sprintf(" after %d retries", m.check.Retry)
		}
		if o.Err != nil && word != "timed out" {
			word += fmt.Sprintf(" (%v)", o.Err)
		}
		m.up = false
		ev = append(ev, m.trouble(CheckFailed, now, o, subject+" "+word))
	}
	m.fails = 0
	return from(m.check.delayLoop()), ev
}

// name is how a program is called in messages.
func (p *Program) name() string {
	if len(p.Args) == 0 {
		return ""
	}
	return p.Args[0]
}
