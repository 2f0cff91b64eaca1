package systemd

import (
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A Notifier sends messages to systemd. A nil Notifier sends none. Its methods are safe for
// use by many goroutines; an error says that systemd was not reached, and changes nothing.
type Notifier struct {
	send     func(state string) error
	watchdog time.Duration
}

// New returns a Notifier that hands its messages to send, which systemd would get as
// datagrams. watchdog is after how long without a ping it would act, 0 if it never does.
func New(send func(state string) error, watchdog time.Duration) *Notifier {
	return &Notifier{send, watchdog}
}

// FromEnvironment returns the Notifier of the process: where to is NOTIFY_SOCKET, and how
// long systemd waits for a ping is WATCHDOG_USEC, if WATCHDOG_PID means this process
// (sd_watchdog_enabled(3)). The error names the variable that is wrong. The variables stay in
// the environment: of programs that we start, the unit's NotifyAccess=main lets none speak.
func FromEnvironment() (*Notifier, error) {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return nil, fmt.Errorf("systemd's watchdog: %w", err)
	}
	return New(func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}, watchdog), nil
}

// Ready tells that the director runs, or that a reload is over; status is its line in
// `systemctl status`.
func (n *Notifier) Ready(status string) error {
	return n.tell(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

// Reloading tells that a reload begins. Ready must follow, whatever comes of it.
func (n *Notifier) Reloading() error {
	return n.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() + "STATUS=reading the configuration")
}

// Stopping tells that the director stops.
func (n *Notifier) Stopping() error {
	return n.tell(daemon.SdNotifyStopping + "\nSTATUS=stopping")
}

func (n *Notifier) tell(state string) error {
	if n == nil {
		return nil
	}
	if err := n.send(state); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}
