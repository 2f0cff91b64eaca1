package health

import (
	"context"
	"errors"
)

// errNoVIPs is what VIP checkers meet where nobody does their probes.
var errNoVIPs = errors.New("servers are not asked for virtual addresses here")

// probeVIP has the server asked within one stage.
func (n NetProber) probeVIP(ctx context.Context, c *Check) Outcome {
	if n.VIP == nil {
		return Outcome{Verdict: Rescheduled, Reason: NoSocket, Err: errNoVIPs}
	}
	stage, cancel := context.WithTimeout(ctx, c.stageTimeout())
	defer cancel()
	o := n.VIP(stage, c)
	if ctx.Err() != nil {
		return Outcome{Verdict: Rescheduled, Reason: Canceled, Err: ctx.Err()}
	}
	return o
}
