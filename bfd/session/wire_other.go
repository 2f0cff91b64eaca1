//go:build !linux

package session

import (
	"errors"
	"time"
)

// A wire needs Linux.
type wire struct{}

func openWire() (*wire, error)         { return nil, errors.ErrUnsupported }
func (*wire) wake()                    {}
func (*wire) close()                   {}
func (*wire) listen(inlet) error       { return errors.ErrUnsupported }
func (*wire) unlisten(inlet)           {}
func (*wire) wait(time.Duration) error { return errors.ErrUnsupported }
func (*wire) receive(func(datagram))   {}

// An outlet needs Linux.
type outlet struct{ zone int }

func openOutlet(*Config) (*outlet, error) { return nil, errors.ErrUnsupported }
func (*outlet) setTTL(uint8) error        { return nil }
func (*outlet) send([]byte) error         { return errors.ErrUnsupported }
func (*outlet) close()                    {}
func isStale(err error) bool              { return err != nil }
func mayCome(error) bool                  { return false }
