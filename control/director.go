package control

import (
	"context"
	"math"
	"strconv"
	"time"
)

// Director is the running director as its operators see it. The daemon implements
// it, and so does Client for the director behind a socket.
//
// All methods are safe for use by many goroutines. What they return belongs to the
// caller. Status, Services, Connections and Sysctls leave the director as it was.
type Director interface {
	// Status reports the whole state but for the single connections. It is cheap
	// enough to be asked once a second.
	Status(ctx context.Context) (Status, error)

	// Services reports the service table as ipvsadm lists it: only the servers that
	// are in the table, with the weights that balance now.
	Services(ctx context.Context) (ServiceList, error)

	// Connections passes every tracked connection to yield, in no particular order,
	// and stops with yield's error when it returns one. There may be millions: yield
	// blocks as long as the reader at the other end is slow, so it must not be called
	// with a lock held. Connections that come or go meanwhile may be missed; none is
	// passed twice.
	Connections(ctx context.Context, yield func(Connection) error) error

	// Edit does all of the edits, in their order, or none: then the error is an
	// *EditError, or one of the way to the director. When it returns nil the change is in
	// effect for packets.
	Edit(ctx context.Context, edits []Edit) error

	// Reload reads the configuration again and changes over to it whole, or leaves all as it is.
	Reload(ctx context.Context, how Reloading) (Reloaded, error)

	// Sysctls lists IPVS's settings (net.ipv4.vs.*) in the order of their names.
	Sysctls(ctx context.Context) ([]Sysctl, error)

	// SetSysctl changes one of them; the error names what the value may be.
	SetSysctl(ctx context.Context, name, value string) error
}

// Reloading says how to reload.
type Reloading struct {
	// DryRun changes nothing: it reads the configuration and tells what would change.
	DryRun bool `json:"dry_run"`
}

// Reloaded is what a reload did, or would do.
type Reloaded struct {
	// Changes are lines for people, one for each thing that was added, removed or changed, as
	// "changed server 10.1.0.11:80 of service [192.0.2.10]:tcp:80: weight 1 → 7"; none if the
	// file says what runs already.
	Changes []string `json:"changes"`
	// Notes are the configuration's findings that are no errors.
	Notes []string `json:"notes"`
}

// Sysctl is one of IPVS's settings under its kernel name.
type Sysctl struct {
	Name  string `json:"name"` // "expire_nodest_conn"
	Value string `json:"value"`
	// Default is the kernel's.
	Default string `json:"default"`
	// Unserved says why the setting has no effect yet; empty if it has.
	Unserved string `json:"unserved,omitempty"`
}

// Seconds is a duration that JSON carries as a whole number of seconds, cut and
// not rounded, as /proc/net/ip_vs_conn does.
type Seconds time.Duration

// Duration returns s as the standard type.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// MarshalJSON writes the whole seconds in s.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(time.Duration(s)/time.Second), 10), nil
}

// UnmarshalJSON reads a whole number of seconds.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return err
	}
	*s = Seconds(time.Duration(n) * time.Second)
	return nil
}

// An ExactDuration is a time that JSON has as seconds with six decimals: 0.000110.
type ExactDuration time.Duration

// Duration returns d as the standard type.
func (d ExactDuration) Duration() time.Duration { return time.Duration(d) }

// MarshalJSON writes seconds, rounded to whole microseconds.
func (d ExactDuration) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(d).Seconds(), 'f', 6, 64), nil
}

// UnmarshalJSON reads a number of seconds.
func (d *ExactDuration) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return err
	}
	*d = ExactDuration(math.Round(n*1e6) * 1e3)
	return nil
}
