package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Options say how the demo is run.
type Options struct {
	Executable string    // the uvs binary, an absolute path
	Modes      []Mode    // the sites to show, in this order
	Out        io.Writer // where the story is told
	Live       bool      // Out is a terminal: pictures are drawn over
	Unicode    bool      // Out shows more than ASCII
}

// A Mode is a site and the story that is told in it.
type Mode int

// The modes of the demo.
const (
	NAT  Mode = iota // clients – director – servers: both ways pass the director
	DR               // all on one Ethernet: answers go straight to the client
	Pair             // two directors by VRRP, forwarding as with DR
)

// String returns what the mode is called: the forwarding method, or the protocol.
func (m Mode) String() string { return [...]string{"NAT", "DR", "VRRP"}[m] }

// kind returns the forwarding method as lb_kind has it.
func (m Mode) kind() string { return [...]string{"NAT", "DR", "DR"}[m] }

// longest is how long the whole demo may take.
const longest = 60 * time.Second

// Run shows each mode and prints a summary. The error names the checks that failed, or
// wraps the context's when that ended the demo. Nothing is left on the machine in any case.
func Run(ctx context.Context, o Options) error {
	began := time.Now()
	s := newScreen(o.Out, o.Live, glyphsFor(o.Unicode))
	var outcomes []outcome
	for _, m := range o.Modes {
		out := show(ctx, s, o.Executable, m)
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("interrupted; everything that was built is gone: %w", err)
		}
		outcomes = append(outcomes, out)
	}
	took := time.Since(began)
	checks := allChecks(outcomes, took)
	s.heading("Summary")
	s.text(summary(outcomes) + renderChecks(checks, s.glyphs))
	if failed := failedNames(checks); len(failed) > 0 {
		return fmt.Errorf("%d of %d checks failed: %s", len(failed), len(checks), strings.Join(failed, ", "))
	}
	s.textf("\nAll %d checks hold. The demo took %s; nothing of it is left.\n", len(checks), seconds(took))
	return nil
}

// pause waits for a time, or for the end of ctx, which is then the error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poll calls cond every few milliseconds until it is true, and reports when it was. An error
// of cond ends it; time that runs out is errTimeout.
func poll(ctx context.Context, limit time.Duration, cond func() (bool, error)) (time.Time, error) {
	const interval = 10 * time.Millisecond
	for deadline := time.Now().Add(limit); ; {
		ok, err := cond()
		now := time.Now()
		switch {
		case err != nil:
			return now, err
		case ok:
			return now, nil
		case now.After(deadline):
			return now, errTimeout
		}
		if err := pause(ctx, interval); err != nil {
			return now, err
		}
	}
}

var errTimeout = errors.New("time is over")
