package daemon

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"uvs/config"
	"uvs/internal/command"
)

// runWhole runs startup_script or shutdown_script, which stands before or behind everything, and
// waits for it, but not longer than timeout: then it is ended.
func (d *director) runWhole(word string, c *config.Command, timeout time.Duration) {
	if c == nil {
		return
	}
	program, err := d.programs.program(c.Args, c.User, c.Group)
	if err != nil {
		d.log.Error(word+" cannot be run", "error", err, "config", c.Pos.String())
		return
	}
	program.Timeout = timeout
	runner := command.NewRunner(command.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	results := make(chan command.Result, 1)
	if err := runner.Start(ctx, program, func(r command.Result) { results <- r }); err != nil {
		results <- command.Result{Outcome: command.NotStarted, Err: err}
	}
	r := <-results
	cancel()
	<-ended //nolint:errcheck // it returns nil
	if r.Outcome != command.Exited || r.Status != 0 {
		d.log.Warn(fmt.Sprintf("%s %v", word, r), "config", c.Pos.String())
		return
	}
	d.log.Info(word+" succeeded", "took", r.Took.Round(time.Millisecond))
}

// sinceBoot returns how long the machine has been up, suspended or not.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// bootDelay is for how long takeovers are put off: by vrrp_startup_delay, or until the machine
// has been up for vrrp_delay_after_boot.
func bootDelay(startup, afterBoot, up time.Duration) time.Duration {
	return max(startup, afterBoot-up, 0)
}
