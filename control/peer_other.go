//go:build !linux

package control

import (
	"errors"
	"net"
	"os"
)

func peerUID(*net.UnixConn) (int, error) { return 0, errors.ErrUnsupported }

func lockFile(*os.File) error { return errors.ErrUnsupported }
