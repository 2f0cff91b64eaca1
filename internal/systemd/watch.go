package systemd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"uvs/internal/mono"
)

// unwatched is the watchdog's time where systemd keeps none: the log still tells who hangs.
const unwatched = 20 * time.Second

// Watched is what Watch looks at, and whom it tells. No function may block.
type Watched struct {
	// Pulses returns a sign of life of each part.
	Pulses func() []Pulse
	// Patience is what a part is given at least, however short the watchdog's time is.
	Patience time.Duration
	// Status is the director's line in `systemctl status` while all parts go on.
	Status func() string
	// Hung is called when other parts hang than before, with none when all go on again.
	Hung func([]Hung)
	// Failed is called with the first of errors in a row.
	Failed func(error)
}

// Watch looks at the parts four times within the watchdog's time and pings systemd if none
// hangs. A part hangs that has not gone on for half of that time, or for w.Patience if that is
// more. So systemd ends a director of which a part hangs within one and a half of the
// watchdog's time, as long as patience is not what counts. The status is sent when it changes.
// Watch returns nil when ctx ends.
func (n *Notifier) Watch(ctx context.Context, w Watched) error {
	watchdog := unwatched
	if n != nil && n.watchdog > 0 {
		watchdog = n.watchdog
	}
	period := watchdog / 4
	judge := NewJudge(max(watchdog/2, w.Patience), period)
	tick := time.NewTicker(period)
	defer tick.Stop()
	told, sent, failing := "", "", false
	for {
		hung := judge.Look(mono.Now(), w.Pulses())
		if names := namesOf(hung); names != told {
			told = names
			w.Hung(hung)
		}
		status := w.Status()
		if len(hung) > 0 {
			status = describe(hung)
		}
		state := n.message(len(hung) == 0, status != sent, status)
		if state != "" {
			err := n.tell(state)
			if err == nil {
				sent = status
			} else if !failing {
				w.Failed(err)
			}
			failing = err != nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// message is what one look has to tell; "" is nothing.
func (n *Notifier) message(alive, news bool, status string) string {
	var lines []string
	if alive && n != nil && n.watchdog > 0 {
		lines = append(lines, daemon.SdNotifyWatchdog)
	}
	if news {
		lines = append(lines, "STATUS="+status)
	}
	return strings.Join(lines, "\n")
}

// namesOf lists the parts that hang.
func namesOf(hung []Hung) string {
	names := make([]string, len(hung))
	for i, h := range hung {
		names[i] = h.Part
	}
	return strings.Join(names, ", ")
}

// describe is the status while parts hang.
func describe(hung []Hung) string {
	return fmt.Sprintf("hangs: %s; the watchdog gets no ping", namesOf(hung))
}
