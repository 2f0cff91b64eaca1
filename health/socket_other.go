//go:build !linux

package health

import (
	"errors"
	"syscall"
)

// socketControl refuses options that only Linux has.
func socketControl(c *Check) func(network, address string, rc syscall.RawConn) error {
	if c.BindInterface == "" && c.Mark == 0 {
		return nil
	}
	return func(_, _ string, _ syscall.RawConn) error { return errLocal{errors.ErrUnsupported} }
}
