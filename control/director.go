package control

import (
	"context"
	"strconv"
	"time"
)

// Director is the running director as its operators see it. The daemon implements
// it, and so does Client for the director behind a socket.
//
// All methods are safe for use by many goroutines and leave the director as it
// was. What they return belongs to the caller.
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
