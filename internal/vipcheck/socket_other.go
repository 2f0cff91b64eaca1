//go:build !linux

package vipcheck

import (
	"errors"
	"net"
)

// sockets opens none: packet sockets are Linux's.
type sockets struct{}

func (sockets) guard() (net.Listener, error) { return nil, errors.ErrUnsupported }

func (sockets) tap(bool, uint16) (tap, error) { return nil, errors.ErrUnsupported }
